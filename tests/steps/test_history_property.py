"""Random histories: annotations come and go, neurons merge and split, and every version equals the oracle."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorstore
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from materializationengine.domain.plan import RunKind
from materializationengine.domain.schemas import schema
from materializationengine.kernel import moments
from materializationengine.storage import annotation_catalog, annotations
from materializationengine.storage.live_database import ensure
from tests.harness import Engine, copy_world, ends
from tests.oracle import Oracle, same_partition

TABLE = "contacts"
SEEDS = st.integers(0, 2**32 - 1)


@dataclass
class Row:
    """An annotation as the test remembers it."""

    id: int
    size: float
    points: tuple[tuple[int, ...], tuple[int, ...]]
    created: datetime
    deleted: datetime | None = None

    def visible(self, moment: datetime) -> bool:
        return self.created <= moment and (self.deleted is None or moment < self.deleted)


@dataclass
class Stage:
    """What all examples share: the engine, a world to copy, its volume as an array, places to annotate.

    `name` begins the names of their datastacks. It is the test's own: local CAVE outlives the test, and refuses a
    datastack that it knows as another world.
    """

    name: str
    engine: Engine
    world: Path
    scratch: Path
    volume: np.ndarray
    places: np.ndarray
    count: int = 0


class History(RuleBasedStateMachine):
    """One datastack, its table, and what the test knows must be true of it."""

    stage: Stage

    @initialize()
    def begin(self) -> None:
        stage = self.stage
        stage.count += 1
        self.name = f"{stage.name}_{stage.count}"
        self.folder = copy_world(stage.world, stage.scratch / self.name, edits=False)
        stage.engine.load(self.folder, self.name)
        self.oracle = Oracle(self.folder)
        self.database = f"{self.name}_volume"
        self.rows: list[Row] = []
        self.edits = 0
        self.ingested_until = moments.parse("2000-01-01")
        ensure(stage.engine.services.cluster, self.database)
        resolution = tuple(json.loads((self.folder / "about.json").read_text())["resolution_nm"])
        with annotations.writing(stage.engine.services.cluster, self.database) as connection:
            annotation_catalog.create(connection, new_table(resolution))
        self.born = moments.now()

    @rule(seed=SEEDS, number=st.integers(1, 6))
    def post(self, seed: int, number: int) -> None:
        dice = random.Random(seed)
        rows = [self._values(dice) for _ in range(number)]
        with annotations.writing(self.stage.engine.services.cluster, self.database) as connection:
            held = annotations.hold(connection, TABLE)
            ids = annotations.post(connection, held, [columns(size, points) for size, points in rows])
        created = moments.aware(held.stamp)
        self.rows += [Row(id_, *values, created) for id_, values in zip(ids, rows, strict=True)]

    @precondition(lambda self: self._living())
    @rule(seed=SEEDS)
    def update(self, seed: int) -> None:
        dice = random.Random(seed)
        old = dice.choice(self._living())
        size, points = self._values(dice)
        with annotations.writing(self.stage.engine.services.cluster, self.database) as connection:
            held = annotations.hold(connection, TABLE)
            new = annotations.update(connection, held, [{"id": old.id, **columns(size, points)}])
        old.deleted = moments.aware(held.stamp)
        self.rows.append(Row(new[old.id], size, points, old.deleted))

    @precondition(lambda self: self._living())
    @rule(seed=SEEDS)
    def delete(self, seed: int) -> None:
        row = random.Random(seed).choice(self._living())
        with annotations.writing(self.stage.engine.services.cluster, self.database) as connection:
            held = annotations.hold(connection, TABLE)
            annotations.delete(connection, held, [row.id])
        row.deleted = moments.aware(held.stamp)

    @rule(seed=SEEDS)
    def merge(self, seed: int) -> None:
        dice, owner = random.Random(seed), self.oracle.objects(moments.now())
        first, second = dice.sample(range(len(owner)), 2)
        if owner[first] != owner[second]:
            ids = self.oracle.supervoxels[[first, second]].tolist()
            self._edit({"type": "merge", "supervoxels": ids})

    @rule(seed=SEEDS)
    def split(self, seed: int) -> None:
        dice, owner = random.Random(seed), self.oracle.objects(moments.now())
        whole = np.flatnonzero(owner == owner[dice.randrange(len(owner))]).tolist()
        if len(whole) > 1:
            leaving = dice.sample(whole, dice.randint(1, len(whole) - 1))
            stays = next(one for one in whole if one not in leaving)
            ids = self.oracle.supervoxels
            self._edit({"type": "split", "split_off": ids[leaving].tolist(), "from": int(ids[stays])})

    def _edit(self, edit: dict[str, Any]) -> None:
        """Write an edit into the history at this very millisecond, and let the graph read it."""
        time.sleep(0.003)
        now = moments.now()
        stamp = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self.edits += 1
        line = {"operation_id": self.edits, "timestamp": stamp.isoformat(timespec="milliseconds"), **edit}
        with (self.folder / "graph/edits.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        self.stage.engine.edit(self.name)

    @rule()
    def ingest(self) -> None:
        started = moments.now()
        self.stage.engine.run(RunKind.INGEST, self.name)
        self.ingested_until = started

    @rule()
    def complete(self) -> None:
        started = moments.now()
        record = self.stage.engine.run(RunKind.COMPLETE, self.name)
        self.ingested_until = started
        assert record.as_of is not None
        self._check(record.version, record.as_of)

    @rule(share=st.floats(0, 1))
    def complete_at_an_earlier_moment(self, share: float) -> None:
        started = moments.now()
        as_of = self._moment(share)
        record = self.stage.engine.run(RunKind.COMPLETE, self.name, as_of=as_of)
        self.ingested_until = started
        self._check(record.version, as_of)

    @rule(share=st.floats(0, 1), split=st.booleans())
    def freeze(self, share: float, split: bool) -> None:
        as_of = self._moment(share)
        record = self.stage.engine.run(RunKind.FREEZE, self.name, as_of=as_of, split=split)
        self._check(record.version, as_of, f"__{self.name}_pcg" if split else "")

    def _moment(self, share: float) -> datetime:
        return self.born + share * (moments.now() - self.born - timedelta(milliseconds=1))

    def _living(self) -> list[Row]:
        return [row for row in self.rows if row.deleted is None]

    def _values(self, dice: random.Random) -> tuple[float, tuple[tuple[int, ...], tuple[int, ...]]]:
        places = self.stage.places
        pre, post = (tuple(places[dice.randrange(len(places))].tolist()) for _ in range(2))
        return float(dice.randint(1, 1000)), (pre, post)

    def _check(self, version: int | None, as_of: datetime, ids_in: str = "") -> None:
        expected = sorted((row for row in self.rows if row.visible(as_of)), key=lambda row: row.id)
        rows = self.stage.engine.frozen(self.name, version, TABLE)
        assert rows["id"].to_pylist() == [row.id for row in expected]
        assert rows["size"].to_pylist() == [row.size for row in expected]
        assert rows["valid"].to_pylist() == [True] * len(expected)
        bound = self.stage.engine.frozen(self.name, version, TABLE + ids_in) if self._has_ids(version, ids_in) else None
        if bound is not None and expected:
            self._check_ids(bound, expected, as_of)

    def _has_ids(self, version: int | None, ids_in: str) -> bool:
        """A split version of a table that was never ingested has no segmentation table."""
        with self.stage.engine.services.cluster.connect(f"{self.name}__mat{version}") as connection:
            return bool(connection.value("SELECT to_regclass($1) IS NOT NULL", TABLE + ids_in))

    def _check_ids(self, rows: pa.Table, expected: list[Row], as_of: datetime) -> None:
        supervoxels, roots = ends(rows, "supervoxel_id"), ends(rows, "root_id")
        truth = np.array([[self.stage.volume[point] for point in row.points] for row in expected])
        bound = np.array([row.created <= self.ingested_until for row in expected])
        assert (supervoxels[bound] == truth[bound]).all()
        there = supervoxels != -1
        assert (supervoxels[there] == truth[there]).all()
        assert (roots[there] != -1).all()
        assert same_partition(roots[there], self.oracle.objects_of(supervoxels[there], as_of))


def new_table(resolution: tuple[float, ...]) -> annotation_catalog.NewTable:
    """The table that every history writes to."""
    x, y, z = resolution
    return annotation_catalog.NewTable(TABLE, schema("nocenter_synapse"), "contacts", user_id="1", resolution=(x, y, z))


def columns(size: float, points: tuple[tuple[int, ...], tuple[int, ...]]) -> dict[str, Any]:
    """An annotation as validated columns."""
    return {"size": size, "pre_pt_position": list(points[0]), "post_pt_position": list(points[1])}


@pytest.fixture
def stage(engine: Engine, small_world: Path, tmp_path: Path, datastack: str) -> Stage:
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": str(small_world / "segmentation")},
    }
    volume = tensorstore.open(spec, open=True).result()[..., 0].read().result().astype(np.int64)
    places = np.load(small_world / "annotations/synapses/presyn_coords.npy")
    return Stage(datastack, engine, small_world, tmp_path, volume, places)


@pytest.mark.timeout(1200)  # an interrupted history looks like an inconsistent one
@pytest.mark.parametrize("examples", [3, pytest.param(8, marks=pytest.mark.faults)])
def test_every_version_of_a_random_history_equals_the_oracle(stage: Stage, examples: int) -> None:
    History.stage = stage
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=examples,
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
