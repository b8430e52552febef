"""Random histories: from whatever base, an incremental version equals a full freeze of the same moment."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from materializationengine.domain.plan import RunKind
from tests.steps.test_history_property import SEEDS, TABLE, History, Stage, stage
from tests.steps.test_incremental import digests, in_physical_order

# Minutes long, so run by `make test-faults`. On a busy machine it took longer than the five minutes that a test may;
# Hypothesis then plays the interrupted history once more, sees it pass, and reports an inconsistent test.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

__all__ = ["stage"]


class IncrementalHistory(History):
    """A history in which any version may be the base of the next one."""

    def _check(self, version: int | None, as_of: datetime, ids_in: str = "") -> None:
        super()._check(version, as_of, ids_in)
        self._versions().append((version, as_of, bool(ids_in)))

    def _versions(self) -> list[tuple[int | None, datetime, bool]]:
        return self.__dict__.setdefault("known_versions", [])

    @precondition(lambda self: self._versions())
    @rule(seed=SEEDS, share=st.floats(0, 1), split=st.booleans())
    def incremental(self, seed: int, share: float, split: bool) -> None:
        base, since, _ = random.Random(seed).choice(self._versions())
        as_of = since + share * (self._moment(1) - since)
        engine = self.stage.engine
        full = engine.run(RunKind.FREEZE, self.name, as_of=as_of, split=split)
        made = engine.run(RunKind.INCREMENTAL, self.name, as_of=as_of, base_version=base, split=split)
        assert digests(engine, self.name, made.version) == digests(engine, self.name, full.version)
        orders = [in_physical_order(engine, self.name, one.version, TABLE) for one in (made, full)]
        assert orders[0] == orders[1]
        self._check(made.version, as_of, f"__{self.name}_pcg" if split else "")


def test_an_incremental_version_equals_a_full_freeze_of_its_moment(stage: Stage) -> None:
    IncrementalHistory.stage = stage
    run_state_machine_as_test(
        IncrementalHistory,
        settings=settings(
            max_examples=3,
            stateful_step_count=16,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
