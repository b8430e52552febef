"""Mend an existing version: add the tables that it lacks, repair those that it has."""

from __future__ import annotations

import sys

from incremental_script import Stage, main

STAGE = Stage(
    description="Mend an existing version, with an older one as the base. Phase 3 adds tables that it lacks; 4 "
    "repairs tables whose rows are not those of its moment. Tables are built aside and swapped in at once.",
    threads=25,
    phases=(3, 4),
    mends=True,
)

if __name__ == "__main__":
    sys.exit(main(STAGE))
