"""What the ledger tells of a run, as every door shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..kernel import moments
from .estimate import compared
from .plan import RunKind, RunStatus


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Units of one step, counted; `rows` as the units reported them, `seconds` of work summed over workers."""

    name: str
    units: int
    done: int
    running: int
    failures: int
    rows: int
    seconds: float
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class UnitReport:
    """What one unit did: rows handled and any other counts worth showing."""

    label: str
    action: str
    status: str
    attempt: int
    rows: int
    facts: dict[str, Any]
    error: str | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the ledger knows it now. `version` is the number it makes, where it makes one."""

    id: str
    kind: RunKind
    datastack: str | None
    as_of: datetime | None
    status: RunStatus
    version: int | None
    error: str | None
    requested_by: str
    created: datetime
    finished: datetime | None
    database: str
    steps: tuple[StepProgress, ...] = ()
    units: tuple[UnitReport, ...] = ()
    estimate: Mapping[str, Any] | None = None

    @property
    def progress(self) -> float:
        """Units done over units known, 0 to 1; steps that add units lower it when they do."""
        known = sum(step.units for step in self.steps)
        return sum(step.done for step in self.steps) / known if known else float(self.status.over)

    def to_json(self) -> dict[str, Any]:
        """The wire form: moments in ISO 8601 with their zone."""
        record: dict[str, Any] = {
            "id": self.id,
            "kind": str(self.kind),
            "datastack": self.datastack,
            "timestamp": _moment(self.as_of),
            "status": str(self.status),
            "version": self.version,
            "error": self.error,
            "requested_by": self.requested_by,
            "created": _moment(self.created),
            "finished": _moment(self.finished),
            "progress": round(self.progress, 4),
            "steps": [_step_json(step) for step in self.steps],
        }
        if self.estimate is not None:
            record["estimate"] = self._compared(self.estimate)
        if self.units:
            record["units"] = [_unit_json(unit) for unit in self.units]
        return record

    def _compared(self, estimate: Mapping[str, Any]) -> dict[str, Any]:
        spent = None if self.finished is None else round((self.finished - self.created).total_seconds(), 3)
        rows = max((step.rows for step in self.steps), default=0)
        return compared(estimate, rows, sum(step.units for step in self.steps), spent)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moments.aware(moment).isoformat()


def _step_json(step: StepProgress) -> dict[str, Any]:
    return {
        "name": step.name,
        "units": step.units,
        "done": step.done,
        "running": step.running,
        "failures": step.failures,
        "rows": step.rows,
        "seconds": round(step.seconds, 3),
        "started": _moment(step.started),
        "finished": _moment(step.finished),
    }


def _unit_json(unit: UnitReport) -> dict[str, Any]:
    return {
        "label": unit.label,
        "action": unit.action,
        "status": unit.status,
        "attempt": unit.attempt,
        "rows": unit.rows,
        "facts": unit.facts,
        "error": unit.error,
    }
