"""Runs as they are shown: progress is a count over the ledger."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ..domain.errors import UnknownRun
from ..domain.plan import RunKind, RunStatus
from ..domain.records import RunRecord, StepProgress, UnitReport
from ..kernel import moments
from ..kernel.columns import Connection
from .engines import Cluster
from .live_database import live_databases
from .sql import sql


def find_run(cluster: Cluster, run_id: str, *, units: bool = False) -> RunRecord:
    """One run, wherever its live database is. Raises UnknownRun."""
    for database in live_databases(cluster):
        with cluster.connect(database) as connection:
            found = _records(connection, database, run_id, None, 1, units)
        if found:
            return found[0]
    raise UnknownRun(f"there is no run {run_id!r}; `matengine runs` lists the newest")


def list_runs(cluster: Cluster, datastack: str | None = None, limit: int = 50) -> list[RunRecord]:
    """The newest runs of every live database, newest first."""
    records: list[RunRecord] = []
    for database in live_databases(cluster):
        with cluster.connect(database) as connection:
            records += _records(connection, database, None, datastack, limit, False)
    return sorted(records, key=lambda record: record.created, reverse=True)[:limit]


def _records(
    connection: Connection, database: str, run_id: str | None, datastack: str | None, limit: int, units: bool
) -> list[RunRecord]:
    rows = connection.table(sql("ledger", "runs"), run_id, datastack, limit).to_pylist()
    return [_record(connection, database, row, units) for row in rows]


def _record(connection: Connection, database: str, row: dict[str, Any], units: bool) -> RunRecord:
    names = [step["name"] for step in json.loads(row.pop("plan"))["steps"]]
    row.pop("position")
    as_of, estimate, summary = row.pop("as_of"), row.pop("estimate"), row.pop("report")
    return RunRecord(
        **{**row, "kind": RunKind(row["kind"]), "status": RunStatus(row["status"])},
        as_of=None if as_of is None else moments.aware(as_of),
        database=database,
        steps=_steps(connection, row["id"], names, json.loads(summary) if summary else []),
        units=_units(connection, row["id"]) if units else (),
        estimate=json.loads(estimate) if estimate else None,
    )


def _steps(connection: Connection, run_id: str, names: list[str], summary: list[Any]) -> tuple[StepProgress, ...]:
    """Counted over the units; of a run whose units were pruned, as they were summed up then."""
    counted = {row[0]: row[1:] for row in connection.rows(sql("ledger", "step_counts"), run_id)}
    if not counted:
        counted = {row[0]: (*row[1:6], *map(_parsed, row[6:8]), row[8]) for row in summary}
    return tuple(_step(name, counted.get(position)) for position, name in enumerate(names))


def _parsed(text: str | None) -> datetime | None:
    return None if text is None else moments.parse(text)


def _step(name: str, counts: tuple[Any, ...] | None) -> StepProgress:
    if counts is None:
        return StepProgress(name, 0, 0, 0, 0, 0, 0.0, None, None)
    units, done, running, failures, rows, started, finished, seconds = counts
    return StepProgress(name, units, done, running, failures, rows, seconds, started, finished)


def _units(connection: Connection, run_id: str) -> tuple[UnitReport, ...]:
    return tuple(_unit(*row) for row in connection.rows(sql("ledger", "unit_reports"), run_id))


def _unit(
    _: int, action: str, label: str, status: str, attempt: int, report: str | None, error: str | None
) -> UnitReport:
    facts = json.loads(report) if report else {}
    return UnitReport(label, action, status, attempt, int(facts.pop("rows", 0)), facts, error)
