"""Estimates: what is counted, what is learned, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from materializationengine.domain.errors import NoRoom
from materializationengine.domain.estimate import GB, Estimate, Seconds, TableSize, check_room, expect, seconds
from materializationengine.domain.plan import FreezePlan, Plan, RunKind, StepPlan, TablePlan, UnitSpec

SYNAPSES = TablePlan("synapses", "synapse", (4.0, 4.0, 40.0), "synapses__pcg")
STEPS = (StepPlan("first", (UnitSpec("a.b", {}),)), StepPlan("second"))
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
SIZES = [TableSize("synapses", 1_000_000, 700_000_000)]


def plan(kind: RunKind, freeze: FreezePlan | None = None) -> Plan:
    return Plan(kind, STEPS, MOMENT, tables=(SYNAPSES,), freeze=freeze)


def test_an_update_asks_at_most_for_every_bound_point() -> None:
    found = expect(plan(RunKind.UPDATE_ROOTS), SIZES, graph_batch=100_000, lookup_batch=400_000)
    assert (found.tables, found.rows, found.graph_calls, found.units) == (1, 1_000_000, 20, 1 + 5)


def test_a_freeze_needs_the_room_of_what_it_copies() -> None:
    found = expect(plan(RunKind.FREEZE, FreezePlan((SYNAPSES,))), SIZES, graph_batch=100_000, lookup_batch=400_000)
    assert found.bytes == 700_000_000


def test_seconds_are_learned_with_their_spread() -> None:
    assert seconds(1000, [(100, 1.0), (200, 1.0), (100, 3.0)]) == Seconds(10.0, 5.0, 30.0, 3)
    assert seconds(1000, []) is None


@pytest.mark.parametrize(("free", "fits"), [(3.1, True), (2.9, False), (None, True)])
def test_a_plan_leaves_the_reserve_free(free: float | None, fits: bool) -> None:
    expected = replace(Estimate(1, 1, 1, 1, int(2 * GB)), free=None if free is None else int(free * GB))
    if fits:
        check_room(expected, 1 * GB)
    else:
        with pytest.raises(NoRoom, match="MATERIALIZATION_DISK_RESERVE"):
            check_room(expected, 1 * GB)
