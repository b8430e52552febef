"""Make a new version from a base version, in four phases."""

from __future__ import annotations

import sys

from incremental_script import Stage, main

STAGE = Stage(
    description="Make a new version from a base version. Phase 1 takes over the base's tables with the rows that were "
    "created and deleted since; 2 keeps new root ids in the table cellsegment; 3 makes tables that the base lacks; "
    "4 updates expired root ids and deletes them from cellsegment. 2 and 3 may be left out.",
    threads=4,
    phases=(1, 2, 3, 4),
    mends=False,
)

if __name__ == "__main__":
    sys.exit(main(STAGE))
