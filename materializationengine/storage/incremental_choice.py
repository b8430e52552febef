"""Whether a version is better made from the newest one than from nothing: what the live tables say has changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..domain.datastack import Datastack
from ..domain.names import frozen_database
from ..domain.plan import FreezePlan, IncrementalPlan
from ..kernel import moments
from ..kernel.columns import Connection
from .incremental_base import table_names
from .sql import sql
from .tables import qualified

UNATTENDED = (1, 3, 4)
"""Phases of a run that nobody asked to keep `cellsegment`."""

_STAYS = timedelta(days=1)
"""How long a base must be there yet."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    version: int
    moment: datetime
    database: str
    rows: int
    owed: int


def choose_base(
    connection: Connection,
    datastack: Datastack,
    version: FreezePlan,
    as_of: datetime,
    now: datetime,
    share: float,
    threads: int,
) -> IncrementalPlan | None:
    """The newest version of the same form, if at most `share` of its rows were created, deleted or owed since.

    Replaced roots do not count: they are exchanged as the stream goes by, and only new rows are sorted.
    """
    found = _newest(connection, datastack, version, as_of, now) if share > 0 else None
    if found is None or _changed(connection, datastack, version, found, as_of) > share * found.rows:
        return None
    return IncrementalPlan(found.version, found.moment, found.database, UNATTENDED, (threads,) * 4, strict=False)


def _newest(
    connection: Connection, datastack: Datastack, version: FreezePlan, as_of: datetime, now: datetime
) -> _Candidate | None:
    until = moments.naive(now + _STAYS)
    row = connection.one(
        sql("incremental", "newest_base"), datastack.name, moments.naive(as_of), not version.split, until
    )
    if row is None:
        return None
    number, time_stamp, home, home_version, rows, owed = row
    return _Candidate(number, moments.aware(time_stamp), frozen_database(home, home_version), rows or 0, owed)


def _changed(
    connection: Connection, datastack: Datastack, version: FreezePlan, base: _Candidate, as_of: datetime
) -> int:
    """Rows that came or went since the base in the tables that it has, and those it shows without their ids."""
    known = table_names(connection, datastack, base.version)
    span = (moments.naive(base.moment), moments.naive(as_of))
    names = (qualified(table.name) for table in version.tables if table.name in known)
    counts = (connection.value(sql("incremental", "changed_rows", annotation=name), *span) for name in names)
    return base.owed + sum(counts)
