"""The nightly table's rows move to `DiaObject`, where their intervals are closed."""

from __future__ import annotations

from .statements import Statements
from .tables import NIGHTLY

_FIRST = "l1_first"


def merge_nightly(db: Statements) -> None:
    """Move all rows, within a transaction. A version ends where the object's next one begins."""
    session = db.session
    names = ", ".join(f'"{name}"' for name in NIGHTLY.names)
    following = 'lead("validityStart") OVER (PARTITION BY "diaObjectId" ORDER BY "validityStart")'
    with db.timings.stage("DiaObjectNightly copy"):
        session.execute(f"{session.drop_temporary} IF EXISTS {_FIRST}")
        session.execute(
            f'CREATE TEMPORARY TABLE {_FIRST} AS SELECT "diaObjectId", min("validityStart") AS start '
            'FROM "DiaObjectNightly" GROUP BY "diaObjectId"'
        )
        session.execute(session.close_before(_FIRST))
        ended = names.replace('"validityEnd"', following)
        session.execute(f'INSERT INTO "DiaObject" ({names}) SELECT {ended} FROM "DiaObjectNightly"')
        session.execute(f"{session.drop_temporary} {_FIRST}")
    with db.timings.stage("DiaObjectNightly delete"):
        session.execute('DELETE FROM "DiaObjectNightly"')
