"""A datastack with one small table, and hands to change it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.domain.schemas import schema
from materializationengine.kernel import moments
from materializationengine.storage import annotation_catalog, annotations, run_records
from materializationengine.storage.ledger import Message
from materializationengine.storage.live_database import ensure
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine, ends
from tests.oracle import Oracle, same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
TABLE = "contacts"


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


@dataclass
class Lab:
    """The datastack `name` of a small world, with the table `contacts` of bound pairs of points."""

    engine: Engine
    name: str
    world: Path
    places: np.ndarray
    resolution: tuple[float, float, float]

    @property
    def database(self) -> str:
        return f"{self.name}_volume"

    @property
    def oracle(self) -> Oracle:
        return Oracle(self.world)

    def make(self, table: str, kind: str, reference: str | None = None) -> None:
        new = annotation_catalog.NewTable(table, schema(kind), table, "1", self.resolution, reference)
        with annotations.writing(self.engine.services.cluster, self.database) as connection:
            annotation_catalog.create(connection, new)

    def post(self, rows: int | Sequence[dict[str, Any]], table: str = TABLE) -> list[int]:
        """Rows of the given columns, or so many pairs of points of the world's synapses."""
        values = self.pairs(rows) if isinstance(rows, int) else rows
        with annotations.writing(self.engine.services.cluster, self.database) as connection:
            return annotations.post(connection, annotations.hold(connection, table), values)

    def pairs(self, number: int) -> list[dict[str, Any]]:
        picked = self.places[:: max(1, len(self.places) // (2 * number))][: 2 * number].tolist()
        return [
            {"size": float(at), "pre_pt_position": picked[2 * at], "post_pt_position": picked[2 * at + 1]}
            for at in range(number)
        ]

    def delete(self, ids: Sequence[int], table: str = TABLE) -> None:
        with annotations.writing(self.engine.services.cluster, self.database) as connection:
            annotations.delete(connection, annotations.hold(connection, table), ids)

    def update(self, changes: Sequence[dict[str, Any]], table: str = TABLE) -> dict[int, int]:
        with annotations.writing(self.engine.services.cluster, self.database) as connection:
            return annotations.update(connection, annotations.hold(connection, table), changes)

    def run(self, kind: RunKind, **fields: Any) -> RunRecord:
        return self.engine.run(kind, self.name, **fields)

    def start(self, kind: RunKind, **fields: Any) -> tuple[RunRecord, list[Message]]:
        """Begin a run; none of its units is done yet."""
        queue: list[Message] = []
        return self.engine.start(RunRequest(kind, self.name, **fields), queue), queue

    def until(self, queue: list[Message], action: str) -> None:
        """Do units up to the first of an action, which stays in the queue."""
        while queue[0].action != action:
            message = queue.pop(0)
            queue += run_unit(self.engine.services, message.database, message.unit, "tests")

    def record(self, run: RunRecord) -> RunRecord:
        return run_records.find_run(self.engine.services.cluster, run.id, units=True)

    def finish(self, run: RunRecord, queue: list[Message]) -> RunRecord:
        self.engine.drain(queue)
        record = self.record(run)
        assert record.status is RunStatus.SUCCEEDED, record.error
        return record

    def with_settings(self, **settings: Any) -> None:
        """Other settings for the rest of the test."""
        self.engine.services.settings = replace(self.engine.services.settings, **settings)

    def rows(self, sql: str, *params: object, database: str | None = None) -> list[tuple[Any, ...]]:
        with self.engine.services.cluster.connect(database or self.database) as connection:
            return connection.rows(sql, *params)

    def do(self, sql: str, database: str | None = None) -> None:
        with self.engine.services.cluster.connect(database or self.database) as connection:
            connection.execute(sql)
            connection.commit()

    def mark(self, table: str = TABLE) -> datetime | None:
        ((found,),) = self.rows(
            "SELECT last_updated FROM segmentation_table_metadata WHERE annotation_table = $1", table
        )
        return None if found is None else moments.aware(found)

    def live(self) -> pa.Table:
        with self.engine.services.cluster.connect(self.database) as connection:
            return connection.table(f'SELECT * FROM "{TABLE}__{self.name}_pcg" ORDER BY id')

    def frozen(self, record: RunRecord, table: str = TABLE) -> pa.Table:
        return self.engine.frozen(self.name, record.version, table)

    def true_at(self, rows: pa.Table, at: datetime) -> bool:
        """Whether every point is bound, and to its root at a moment."""
        supervoxels, roots = ends(rows, "supervoxel_id"), ends(rows, "root_id")
        known = bool((supervoxels != -1).all() and (roots != -1).all())
        return known and same_partition(roots, self.oracle.objects_of(supervoxels, at))


def edit_times(world: Path) -> list[datetime]:
    """When the edits of a world's history were made, in order."""
    lines = (world / "graph/edits.jsonl").read_text().splitlines()
    return [datetime.fromisoformat(json.loads(line)["timestamp"]) for line in lines]


@pytest.fixture
def lab(engine: Engine, small_world: Path, datastack: str) -> Lab:
    engine.load(small_world, datastack)
    return open_lab(engine, small_world, datastack)


def open_lab(engine: Engine, world: Path, name: str) -> Lab:
    ensure(engine.services.cluster, f"{name}_volume")
    x, y, z = json.loads((world / "about.json").read_text())["resolution_nm"]
    made = Lab(engine, name, world, np.load(world / "annotations/synapses/presyn_coords.npy"), (x, y, z))
    made.make(TABLE, "nocenter_synapse")
    return made
