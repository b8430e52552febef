"""Revisions of a published version: what the registry knows after a mend."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from ..domain.datastack import Datastack
from ..domain.errors import BadRequest, UnknownVersion, VersionNotAvailable
from ..domain.plan import Plan
from ..kernel import moments
from ..kernel.columns import Connection
from . import cell_segments
from .models import VersionStatus
from .sql import sql
from .version_publishing import VerifiedTable


@dataclass(frozen=True, slots=True)
class Published:
    """A version that can be mended: its moment, and whether its tables are split."""

    moment: datetime
    split: bool


@dataclass(frozen=True, slots=True)
class Revision:
    """One mend: `mended` names the tables that were swapped in and how many rows each has now."""

    revision: int
    run_id: str
    mended: dict[str, Any]
    made: datetime


def published(connection: Connection, datastack: Datastack, number: int) -> Published:
    """A version's moment and form. Raises UnknownVersion, VersionNotAvailable, BadRequest."""
    row = connection.one(sql("incremental", "version_state"), datastack.name, number)
    if row is None:
        raise UnknownVersion(f"datastack {datastack.name!r} has no version {number}", field="mends")
    time_stamp, status, merged, is_virtual = row
    if status != VersionStatus.AVAILABLE:
        raise VersionNotAvailable(f"version {number} is {status}; only an AVAILABLE one can be mended", field="mends")
    if is_virtual:
        raise BadRequest(f"version {number} is virtual: mend the version that it points to", field="mends")
    return Published(moments.aware(time_stamp), not merged)


def record(connection: Connection, plan: Plan, run_id: str, tables: list[VerifiedTable], swapped: list[str]) -> int:
    """Tell the registry of a mend, in the caller's transaction; returns the revision, which rises by one.

    Raises VersionNotAvailable where the version has gone since.
    """
    row = connection.one(sql("incremental", "lock_mended_version"), plan.stack.name, plan.mends)
    if row is None:
        raise VersionNotAvailable(f"version {plan.mends} of {plan.stack.name!r} is not available any more")
    for table in tables:
        moment = moments.naive(plan.moment)
        statement = sql("incremental", "add_analysis_table")
        connection.execute(statement, plan.stack.aligned_volume, table.schema, table.table, moment, row[0])
        statement, facts = sql("incremental", "replace_frozen_table"), json.dumps(table.facts)
        connection.execute(statement, row[0], table.table, table.rows, table.digest, facts, cell_segments.FACT)
    mended = json.dumps({"tables": {table.table: table.rows for table in tables}, "swapped": swapped})
    return int(connection.value(sql("incremental", "add_revision"), row[0], run_id, mended))


def newest_revision(session: Session, version_id: int) -> int:
    """How often a version was mended."""
    return int(session.scalar(text(sql("content", "newest_revision")), {"id": version_id}) or 0)


def revisions(connection: Connection, datastack: Datastack, number: int) -> list[Revision]:
    """Every mend of a version, oldest first; a version that was never mended has none."""
    rows = connection.rows(sql("incremental", "revisions"), datastack.name, number)
    return [Revision(each, run, json.loads(mended), made) for each, run, mended, made in rows]
