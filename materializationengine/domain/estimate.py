"""What a run will cost: measured sizes, and seconds learned from earlier runs of its kind."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from .errors import NoRoom
from .plan import Plan, RunKind, TablePlan
from .schemas import schema

BYTES_A_ROW = {"segmentation": 90, "staging": 48}
"""Heap and key of a segmentation row with two bound points; a row of staging and history of a root update ."""

GB = 1e9


@dataclass(frozen=True, slots=True)
class TableSize:
    """Rows (planner's count) and bytes with indexes of one annotation table and its segmentation table."""

    table: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Seconds:
    """Seconds expected: the middle, and the lowest and highest of the earlier runs scaled by rows."""

    middle: float
    low: float
    high: float
    runs: int


_HANDS, _WORTHWHILE = 4, 20_000
"""Units for workers side by side, and how many supervoxels are worth a unit of their own (m: 20 ms to begin one)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run beforehand. `free` is None where the database's disk cannot be seen, `seconds` where no run came before."""

    tables: int
    rows: int
    units: int
    graph_calls: int
    bytes: int
    free: int | None = None
    seconds: Seconds | None = None


def expect(
    plan: Plan,
    sizes: Sequence[TableSize],
    *,
    graph_batch: int,
    lookup_batch: int,
    free: int | None = None,
    earlier: Iterable[tuple[int, float]] = (),
) -> Estimate:
    """The most that a plan may cost. `earlier` are (rows, seconds) of runs of the same kind."""
    rows = plan.upload.rows if plan.upload is not None else sum(size.rows for size in sizes)
    points = _points(plan, {size.table: size.rows for size in sizes})
    asked = points if _asks_roots(plan.kind) else 0
    units = sum(len(step.units) for step in plan.steps) + lookup_units(asked, lookup_batch)
    return Estimate(
        tables=1 if plan.upload is not None else len(plan.tables),
        rows=rows,
        units=units + (2 * len(plan.tables) if plan.freeze is not None else 0),
        graph_calls=ceil(asked / graph_batch),
        bytes=_bytes(plan, sizes, points),
        free=free,
        seconds=seconds(rows, earlier),
    )


def lookup_units(asked: int, batch: int) -> int:
    """Among how many units a look-up is divided: none gets more than a batch, and a few workers have work each."""
    return max(ceil(asked / batch), min(_HANDS, ceil(asked / _WORTHWHILE)))


def _asks_roots(kind: RunKind) -> bool:
    return kind not in (RunKind.DUMMY, RunKind.RETIRE)


def _points(plan: Plan, rows: dict[str, int]) -> int:
    """Bound points in all tables: no look-up asks for more."""
    if plan.upload is not None:
        return plan.upload.rows * _bound(plan.upload.table)
    return sum(rows.get(table.name, 0) * _bound(table) for table in plan.tables)


def _bound(table: TablePlan) -> int:
    return len(schema(table.schema).points)


def _bytes(plan: Plan, sizes: Sequence[TableSize], points: int) -> int:
    if plan.upload is not None:
        columns = sum(len(source.columns) for source in plan.upload.sources)
        return plan.upload.rows * (60 + 40 * columns)
    copied = sum(size.bytes for size in sizes) if plan.freeze is not None else 0
    staged = points * BYTES_A_ROW["staging"] if plan.kind in (RunKind.UPDATE_ROOTS, RunKind.COMPLETE) else 0
    filled = points * BYTES_A_ROW["segmentation"] if plan.kind is RunKind.INGEST else 0
    return copied + staged + filled


def seconds(rows: int, earlier: Iterable[tuple[int, float]]) -> Seconds | None:
    """Scale the earlier runs to these rows; a run that had none counts as it was."""
    scaled = sorted(spent * rows / had if had > 0 and rows > 0 else spent for had, spent in earlier)
    if not scaled:
        return None
    return Seconds(statistics.median(scaled), scaled[0], scaled[-1], len(scaled))


def compared(estimate: Mapping[str, Any], rows: int, units: int, spent: float | None) -> dict[str, Any]:
    """An estimate as the ledger keeps it beside what the run did; `spent` is None while it goes on."""
    return {**estimate, "actual": {"rows": rows, "units": units, "seconds": spent}}


def check_room(estimate: Estimate, reserve: float) -> None:
    """Raise NoRoom where the plan would leave less than `reserve` bytes of the disk free."""
    if estimate.free is None or estimate.bytes == 0 or estimate.bytes <= estimate.free - reserve:
        return
    raise NoRoom(
        f"the run may need {estimate.bytes / GB:.3g} GB, and of {estimate.free / GB:.3g} GB free "
        f"{reserve / GB:.3g} GB are kept (MATERIALIZATION_DISK_RESERVE); retire versions or add disk"
    )
