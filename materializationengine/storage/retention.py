"""Retiring versions: marked in one transaction, dropped after it, and found again where a crash came between."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..domain.names import frozen_database
from ..domain.retention import Decision, VersionFacts, decide
from ..kernel import moments
from ..kernel.columns import Connection
from .engines import Cluster
from .live_database import MARK
from .sql import quote, sql


@dataclass(frozen=True, slots=True)
class DeadDatabase:
    """A frozen database whose version is over."""

    datastack: str
    version: int
    name: str


def retire(connection: Connection, now: datetime, datastack: str | None, keep: int) -> Decision:
    """Mark expired versions of a live database as EXPIRED, and commit; nothing is dropped here."""
    connection.rows(sql("retention", "hold_versions"))
    decision = decide(_facts(connection), now, datastack=datastack, keep=keep)
    if decision.retire:
        connection.execute(sql("retention", "expire"), list(decision.retire))
    connection.commit()
    return decision


def _facts(connection: Connection) -> list[VersionFacts]:
    statement = sql("retention", "facts", in_use=sql("retention", "in_use"))
    return [_version_facts(*row) for row in connection.rows(statement)]


def _version_facts(
    id_: int,
    datastack: str,
    version: int,
    status: str,
    valid: bool,
    expires_on: datetime | None,
    parent: int | None,
    pinned: bool,
    in_use: bool,
) -> VersionFacts:
    expires = None if expires_on is None else moments.aware(expires_on)
    return VersionFacts(id_, datastack, version, status, valid, expires, parent, pinned, in_use)


def dead_databases(connection: Connection, datastack: str | None) -> list[DeadDatabase]:
    """Frozen databases of versions that are EXPIRED or FAILED. A live database is never among them."""
    return [DeadDatabase(*row) for row in connection.rows(sql("retention", "dead_databases"), datastack, MARK)]


def drop(cluster: Cluster, connection: Connection, datastack: str, version: int) -> bool:
    """Drop the database of a version that is over; False where the version is not, and nothing is done."""
    if connection.one(sql("retention", "is_dead"), datastack, version) is None:
        return False
    database = frozen_database(datastack, version)
    cluster.forget(database)
    with closing(cluster.raw(purpose=f"drop {database}")) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quote(database)} WITH (FORCE)")
    return True


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was taken out of a ledger."""

    summarized: int
    runs: int
    firings: int


def prune(connection: Connection, now: datetime, *, unit_days: float, run_days: float) -> Pruned:
    """Take old units, runs and firings out of the ledger; the caller commits.

    The units of a run that ended `unit_days` ago are summed up in the run's row; a run goes after `run_days`.
    """
    old_units, old_runs = (now - timedelta(days=days) for days in (unit_days, run_days))
    found = [run for (run,) in connection.rows(sql("retention", "summarize_runs"), old_units)]
    if found:
        connection.execute(sql("retention", "prune_units"), found)
    runs = len(connection.rows(sql("retention", "prune_runs"), old_runs))
    firings = len(connection.rows(sql("retention", "prune_firings"), old_runs))
    return Pruned(len(found), runs, firings)
