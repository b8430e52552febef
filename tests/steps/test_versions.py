"""Versions against the truth: supervoxels, roots, at every moment and in any order."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from materializationengine.domain.plan import RunKind
from materializationengine.kernel import moments
from tests.harness import Engine, ends
from tests.oracle import Oracle, same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
DAYS = (0, 15, 30, 45, 61)


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


@pytest.mark.parametrize("order", ["forward", pytest.param("random", marks=pytest.mark.faults)])
def test_em512_equals_the_truth_at_every_day(engine: Engine, em512: Path, datastack: str, order: str) -> None:
    engine.load(em512, datastack)
    engine.upload_synapses(em512, datastack, day(0))
    days = list(DAYS)
    if order == "random":
        random.Random(3).shuffle(days)
    for number in days:
        record = engine.run(RunKind.COMPLETE, datastack, as_of=day(number))
        rows = engine.frozen(datastack, record.version)
        supervoxels, roots = ends(rows, "supervoxel_id"), ends(rows, "root_id")
        assert np.array_equal(supervoxels, np.load(em512 / "truth/supervoxels.npy").astype(np.int64))
        assert same_partition(roots, np.load(em512 / f"truth/object_day{number:02}.npy")), f"day {number}"
        assert (roots == 0).sum() == 200


def test_versions_of_a_generated_world_equal_the_replay(engine: Engine, small_world: Path, datastack: str) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    oracle = Oracle(small_world)
    for number in (60.5, 7.3, 33, 0, 33):
        record = engine.run(RunKind.COMPLETE, datastack, as_of=day(number))
        rows = engine.frozen(datastack, record.version)
        expected = oracle.objects_of(ends(rows, "supervoxel_id"), day(number))
        assert same_partition(ends(rows, "root_id"), expected), f"day {number}"


def test_the_same_moment_frozen_twice_is_equal_and_split_shows_the_same_rows(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    first = engine.run(RunKind.COMPLETE, datastack, as_of=day(20))
    engine.run(RunKind.COMPLETE, datastack, as_of=day(50))
    again = engine.run(RunKind.FREEZE, datastack, as_of=day(20))
    split = engine.run(RunKind.FREEZE, datastack, as_of=day(20), split=True)
    rows = engine.frozen(datastack, first.version)
    assert rows.equals(engine.frozen(datastack, again.version))
    ids = engine.frozen(datastack, split.version, f"synapses__{datastack}_pcg")
    assert rows.select(ids.column_names).equals(ids)


def test_rows_created_after_the_moment_are_left_out(engine: Engine, small_world: Path, datastack: str) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(10))
    early = engine.run(RunKind.COMPLETE, datastack, as_of=day(9))
    assert early.steps[-1].rows == 0
    at_it = engine.run(RunKind.COMPLETE, datastack, as_of=day(10))
    assert engine.frozen(datastack, at_it.version).num_rows == 2_000
