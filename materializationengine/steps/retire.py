"""Retire: end expired versions, drop their databases, and prune the ledger by age."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ..domain.plan import UnitSpec, to_json
from ..domain.retention import Keep
from ..storage import janitor, retention
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Decide:
    """Mark the expired versions of one live database; without `datastack` those of all its datastacks."""

    database: str
    datastack: str | None
    keep: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop the database of one version that is over; `database` is the live one that lists it."""

    database: str
    datastack: str
    version: int


@dataclass(frozen=True, slots=True)
class Prune:
    """Take what is old out of the ledger of one live database, and drop what ended runs left in it."""

    database: str


def decide(work: Work, args: Decide) -> Report:
    """Mark, commit, and add a unit for each database that is over, whoever marked it."""
    with work.cluster.connect(args.database, "retire") as connection:
        decision = retention.retire(connection, work.plan.moment, args.datastack, args.keep)
        dead = retention.dead_databases(connection, args.datastack)
    drops = tuple(
        UnitSpec("retire.drop", to_json(Drop(args.database, each.datastack, each.version)), each.name) for each in dead
    )
    return Report(len(decision.retire), {"kept": _reasons(decision.kept)}, drops)


def _reasons(kept: tuple[tuple[int, Keep], ...]) -> dict[str, int]:
    counts = Counter(reason for _, reason in kept)
    return {str(reason): count for reason, count in sorted(counts.items())}


def drop(work: Work, args: Drop) -> Report:
    """Drop one database; a version that is read again by now is left alone."""
    with work.cluster.connect(args.database, "retire") as connection:
        dropped = retention.drop(work.cluster, connection, args.datastack, args.version)
    return Report(int(dropped))


def prune(work: Work, args: Prune) -> Report:
    """Prune one ledger by the ages of the settings."""
    settings, now = work.settings, work.plan.moment
    with work.cluster.connect(args.database, "prune") as connection:
        found = retention.prune(connection, now, unit_days=settings.unit_days, run_days=settings.run_days)
        connection.commit()
    left = janitor.clean(work.cluster, args.database, settings.keep_failed)
    facts = {"summarized": found.summarized, "runs": found.runs, "firings": found.firings, "leftovers": len(left)}
    return Report(found.runs, facts)
