"""Work that has nothing to do, or must not be done, and settings that decide how it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from materializationengine.bootstrap import Services
from materializationengine.domain import errors
from materializationengine.domain.datastack import Datastack
from materializationengine.domain.names import frozen_database
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.ports import Ids, RootLookup
from materializationengine.gateways.chunkedgraph import HttpChunkedGraph, VolumeSource
from materializationengine.kernel import moments
from materializationengine.kernel.columns import Connection
from materializationengine.storage import annotations, version_care
from materializationengine.storage.version_tables import version_rows
from materializationengine.workflows.requests import UploadRequest
from tests.harness import Engine
from tests.oracle import Oracle, same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
DAY1, LATE = BIRTH + timedelta(days=1), BIRTH + timedelta(days=50)


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    return datastack


@contextmanager
def live(engine: Engine, stack: str) -> Iterator[Connection]:
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        yield connection


def methods(engine: Engine, stack: str, version: int) -> dict[str, str]:
    """Kind of index of every position of a version's table, as PostgreSQL tells it."""
    with engine.services.cluster.connect(frozen_database(stack, version)) as connection:
        found = connection.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'synapses'")
    kinds = {}
    for (text,) in found:
        for point in ("pre_pt_position", "post_pt_position", "ctr_pt_position"):
            if point in text:
                kinds[point] = text.partition("USING ")[2].split()[0]
    return kinds


@pytest.mark.parametrize("kind", ["brin", "gist"])
def test_a_setting_chooses_the_index_on_positions(engine: Engine, stack: str, kind: str) -> None:
    services = Services(replace(engine.services.settings, spatial_index=kind), "tests")
    version = Engine(services, engine.neighbors).run(RunKind.COMPLETE, stack, as_of=DAY1).version
    services.close()
    assert version is not None
    assert methods(engine, stack, version) == dict.fromkeys(
        ("pre_pt_position", "post_pt_position", "ctr_pt_position"), kind
    )


def test_what_cannot_be_mended_is_said_before_a_run_begins(engine: Engine, stack: str) -> None:
    base = engine.run(RunKind.COMPLETE, stack, as_of=DAY1).version
    assert base is not None
    with live(engine, stack) as connection:
        about = engine.services.datastacks.get(stack)
        version_care.create_virtual(connection, stack, base, f"{stack}_public", ["synapses"], moments.now())
        connection.commit()
        connection.execute("UPDATE analysisversion SET status = 'FAILED' WHERE version = $1", base)
        connection.commit()
    for mends, refusal, told in (
        (99, errors.UnknownVersion, "no version 99"),
        (base, errors.VersionNotAvailable, "FAILED"),
    ):
        with pytest.raises(refusal, match=told):
            engine.start_only(RunKind.INCREMENTAL, stack, base_version=base, mends=mends)
    assert [row.version for row in version_rows(engine.services.cluster, about)] == [base]
    with pytest.raises(errors.UnknownVersion, match="no version 99"):
        version_rows(engine.services.cluster, about, 99)
    assert version_rows(engine.services.cluster, replace(about, aligned_volume="nobodys_volume")) == []


def test_rows_that_point_at_nothing_are_no_table(engine: Engine, stack: str, small_world: Path, tmp_path: Path) -> None:
    columns = {"ids": np.arange(1, 4), "targets": np.array([1, 2, 5_000_000]), "tags": np.array(["a", "b", "c"])}
    for name, values in columns.items():
        np.save(tmp_path / f"{name}.npy", values)
    mapping = {"ids": "id", "targets": "target_id", "tags": "tag"}
    request = UploadRequest("tags", "reference_tag", str(tmp_path), mapping, created=BIRTH, reference_table="synapses")
    failed = engine.attempt(RunKind.BULK_UPLOAD, stack, upload=request)
    assert failed.status is RunStatus.FAILED
    assert failed.error is not None and "5000000" in failed.error and "target_id" in failed.error
    np.save(tmp_path / "targets.npy", np.array([1, 2, 3]))
    assert engine.run(RunKind.BULK_UPLOAD, stack, upload=request).status is RunStatus.SUCCEEDED
    with pytest.raises(errors.BadRequest, match=r"tags .* has no points to look up"):
        engine.start_only(RunKind.REMOVE_BAD_ROOTS, stack, table="tags", bad_roots=(1, 2))


def test_annotations_of_no_table_and_no_annotations_of_a_table(engine: Engine, stack: str) -> None:
    with live(engine, stack) as connection:
        for ask in (annotations.hold, annotations.count):
            with pytest.raises(errors.UnknownTable, match="no annotation table 'nosuch'"):
                ask(connection, "nosuch")
        kind = annotations.hold(connection, "synapses").schema
        assert annotations.get(connection, "synapses", kind, []) == []
        assert annotations.count(connection, "synapses") == 2_000


class MovedMeanwhile:
    """The graph, during whose first answer somebody else brings the table to a later moment."""

    def __init__(self, graph: HttpChunkedGraph, services: Services, database: str) -> None:
        self._graph, self._services, self._database = graph, services, database
        self.moments: list[datetime] = []

    def data_source(self) -> VolumeSource:
        """Where the volume is."""
        return self._graph.data_source()

    def roots(self, supervoxels: Ids, at: datetime) -> RootLookup:
        """What the graph says; the first time the table's mark moves before the answer is there."""
        found = self._graph.roots(supervoxels, at)
        if not self.moments:
            with self._services.cluster.connect(self._database) as connection:
                connection.execute("UPDATE segmentation_table_metadata SET last_updated = $1", moments.naive(LATE))
                connection.commit()
        self.moments.append(at)
        return found


class Meanwhile(Services):
    """The parts of a process whose graph is slow enough for others to come between."""

    moved: MovedMeanwhile | None = None

    def graph(self, datastack: Datastack) -> MovedMeanwhile:  # type: ignore[override]
        """The one graph."""
        self.moved = self.moved or MovedMeanwhile(super().graph(datastack), self, datastack.aligned_volume)
        return self.moved


@pytest.mark.parametrize(
    ("kind", "lost", "fields"),
    [
        (RunKind.DENSE_MISSING_ROOTS, "UPDATE {table} SET pre_pt_root_id = NULL", {}),
        (RunKind.INGEST, "DELETE FROM {table}", {"table": "synapses", "annotation_ids": range(1, 2001)}),
    ],
)
def test_roots_are_asked_again_where_the_table_moved_on_meanwhile(
    engine: Engine, stack: str, small_world: Path, kind: RunKind, lost: str, fields: dict[str, Any]
) -> None:
    table = f"synapses__{stack}_pcg"
    engine.run(RunKind.COMPLETE, stack, as_of=BIRTH)
    with live(engine, stack) as connection:
        connection.execute(lost.format(table=f'"{table}"'))
        connection.commit()
    services = Meanwhile(engine.services.settings, "tests")
    Engine(services, engine.neighbors).run(kind, stack, as_of=BIRTH, **fields)
    services.close()
    assert services.moved is not None and services.moved.moments[-1] == LATE
    with live(engine, stack) as connection:
        rows = connection.rows(f'SELECT pre_pt_supervoxel_id, pre_pt_root_id FROM "{table}" WHERE id <= 2000')
    supervoxels, roots = np.array(rows, dtype=np.int64).T
    oracle = Oracle(small_world)
    assert same_partition(roots, oracle.objects_of(supervoxels, LATE))
    assert not same_partition(roots, oracle.objects_of(supervoxels, BIRTH))
