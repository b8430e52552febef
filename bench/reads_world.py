"""The table that the reads are measured on: the shared workload as a live table, and a version frozen of it.

Neighbors answer at once, in process: what is measured is the engine. `Graph` answers from the workload's own history,
which also says what is right.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.domain.datastack import Datastack
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.ports import Ids, RootChanges, RootLookup
from materializationengine.domain.schemas import schema
from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.storage.annotation_catalog import NewTable, create
from materializationengine.storage.annotation_tables import (
    create_segmentation_table,
    index_segmentation_table,
    table_plan,
)
from materializationengine.storage.engines import Cluster
from materializationengine.storage.ledger import Message
from materializationengine.storage.live_database import ensure
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest

SHARED = Path(__file__).parents[2] / "shared/bench"
DATASTACK, VOLUME, PCG, TABLE = "reads", "reads_volume", "reads_pcg", "synapses"
BIRTH = moments.parse("2026-01-01")
MOMENT = moments.parse("2026-02-01")
"""What the version is true of, and what the live roots are vouched for."""

LATER = moments.parse("2026-03-01")
"""The moment that live queries ask about, after edits that touch a tenth of the rows."""

_ANNOTATION = ("id", "created", "valid", "pre_pt_position", "post_pt_position", "ctr_pt_position", "size")
_IDS = ("id", "pre_pt_supervoxel_id", "pre_pt_root_id", "post_pt_supervoxel_id", "post_pt_root_id")


def workload() -> Any:
    """The shared workload's module. Raises SystemExit with a sentence where it is absent."""
    return _shared("workload")


def _shared(name: str) -> Any:
    if not SHARED.is_dir():
        raise SystemExit(f"the shared workload {SHARED} is absent; the measurements of reads need it")
    if str(SHARED) not in sys.path:
        sys.path.append(str(SHARED))
    return __import__(name)


class Graph:
    """The chunkedgraph in process, over the workload's history file."""

    table = PCG

    def __init__(self, path: str) -> None:
        self._history = workload().RootHistory.load(path)

    def top_layer(self) -> int:
        """The layer of the workload's roots."""
        return 12

    def roots(self, supervoxels: Ids, at: datetime) -> RootLookup:
        """The root of each supervoxel."""
        found = self._history.roots(supervoxels.astype(np.uint64), micros(at)).astype(np.int64)
        return RootLookup(found, np.ones(len(found), dtype=np.bool_))

    def expired_roots(self, since: datetime, until: datetime) -> Ids:
        """Roots that an edit replaced."""
        return self.root_changes(since, until).replaced

    def root_changes(self, since: datetime, until: datetime) -> RootChanges:
        """What the edits of a window did to roots; like the service, with those that came and went within it."""
        history = self._history
        parts = []
        for times in (history.expired, history.created):
            inside = np.flatnonzero((times > micros(since)) & (times <= micros(until)))
            parts.append(np.unique(history.root_id(inside).astype(np.int64)))
        return RootChanges(*parts)

    def relatives(self, roots: Ids, since: datetime, until: datetime) -> Ids:
        """What led to the roots, and what came of them."""
        found = self._history.lineage([int(root) for root in roots], micros(since), micros(until))
        return np.unique(np.concatenate([roots, np.array([node["id"] for node in found["nodes"]], dtype=np.int64)]))

    def is_latest(self, roots: Ids, at: datetime) -> npt.NDArray[np.bool_]:
        """Whether each id is a root of the moment."""
        return np.asarray(self._history.is_latest(roots.astype(np.uint64), micros(at)))

    def root_times(self, roots: Ids) -> tuple[datetime, ...]:
        """When each root came to be."""
        created = self._history.created[self._history.node_of(roots.astype(np.uint64))]
        return tuple(moment(int(each)) for each in created)


def micros(at: datetime) -> int:
    """A moment in the workload's unit."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def moment(since_epoch: int) -> datetime:
    """A moment out of the workload's unit."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since_epoch)


class InstantServices(Services):
    """The parts of a process whose neighbors are in the process."""

    def __init__(self, settings: Settings, history: str, application: str) -> None:
        super().__init__(settings, application)
        self._graph = Graph(history)

    def graph(self, datastack: Datastack) -> Graph:  # type: ignore[override]
        """The graph in process."""
        return self._graph


@dataclass(frozen=True, slots=True)
class World:
    """What is there to be read. `roots` are of the version; `edited` says which of them an edit replaced since."""

    url: str
    environ: Mapping[str, str]
    rows: int
    roots: Ids
    edited: npt.NDArray[np.bool_]
    later: Any
    """The history itself, with every edit."""


def make(cluster: PrivateCluster, folder: Path, rows: int) -> World:
    """Fill a live database, freeze it at MOMENT, then let edits touch a tenth of the rows."""
    shared = workload()
    synapses, volume = shared.Synapses.make(rows, seed=1), shared.Volume()
    history = shared.RootHistory(rows // 100, seed=1, t0=micros(BIRTH))
    supervoxels = [volume.supervoxels(points) for points in (synapses.pre, synapses.post)]
    nodes = [history.nodes(ids, micros(MOMENT)) for ids in supervoxels]
    path = str(folder / "history.npz")
    history.save(path)
    environ = _environ(cluster, folder, path)
    services = InstantServices(Settings.from_env(environ), path, "bench reads")
    _fill(services, synapses, supervoxels, [history.root_id(each) for each in nodes])
    freeze(services)
    services.close()
    history.edit(history.pick_roots_touching(nodes, 0.1, seed=5), micros(MOMENT) + 10**9, micros(LATER) - 10**9)
    history.save(path)
    live = np.unique(np.concatenate(nodes))
    edited = history.expired[live] <= micros(LATER)
    return World(cluster.url, environ, rows, history.root_id(live).astype(np.int64), edited, history)


def _environ(cluster: PrivateCluster, folder: Path, history: str) -> dict[str, str]:
    volume = {"id": 1, "name": VOLUME, "display_name": None, "description": "d", "image_source": "i"}
    record = {
        "aligned_volume": volume,
        "segmentation_source": f"graphene://http://127.0.0.1:1/segmentation/table/{PCG}",
        "viewer_resolution_x": 4.0,
        "viewer_resolution_y": 4.0,
        "viewer_resolution_z": 40.0,
        "synapse_table": TABLE,
        "local_server": "http://127.0.0.1:1",
        "description": "reads",
    }
    (folder / "datastacks.json").write_text(json.dumps({DATASTACK: record}))
    return {
        "SQLALCHEMY_DATABASE_URI": cluster.url,
        "DATASTACKS_FILE": str(folder / "datastacks.json"),
        "AUTH_DISABLED": "true",
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "LOGGING_LEVEL": "WARNING",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "BENCH_HISTORY": history,
    }


def _fill(services: Services, synapses: Any, supervoxels: list[Any], roots: list[Any]) -> None:
    """The live table and its segmentation by binary COPY, then the indexes that an ingest completes."""
    stack, cluster = services.datastacks.get(DATASTACK), services.cluster
    ensure(cluster, VOLUME)
    with cluster.connect(VOLUME) as connection:
        create(connection, NewTable(TABLE, schema("synapse"), "the workload", "0", (4.0, 4.0, 40.0)))
        plan = table_plan(connection, stack, TABLE)
        create_segmentation_table(connection, stack, plan)
        connection.commit()
    pg, count = _shared("pgbinary"), len(synapses)
    born = np.full(count, micros(BIRTH), dtype=np.int64)
    annotation = [
        pg.int8(synapses.ids),
        pg.timestamp(born),
        pg.boolean(np.ones(count, dtype=bool)),
        *(pg.pointz(points) for points in (synapses.pre, synapses.post, synapses.ctr)),
        pg.float8(synapses.size),
    ]
    ids = [synapses.ids, supervoxels[0], roots[0], supervoxels[1], roots[1]]
    _copy(cluster, TABLE, _ANNOTATION, annotation, pg)
    _copy(cluster, str(plan.segmentation), _IDS, [pg.int8(np.asarray(each).astype(np.int64)) for each in ids], pg)
    with cluster.connect(VOLUME) as connection:
        index_segmentation_table(connection, plan)
        connection.commit()
    with closing(cluster.raw(VOLUME)) as raw, raw, raw.cursor() as cursor:
        cursor.execute("UPDATE annotation_table_metadata SET created = %s", (moments.naive(BIRTH),))
        cursor.execute("UPDATE segmentation_table_metadata SET last_updated = %s", (moments.naive(MOMENT),))
    with closing(cluster.raw(VOLUME)) as raw, raw.cursor() as cursor:
        raw.autocommit = True
        cursor.execute("VACUUM ANALYZE")


def _copy(cluster: Cluster, table: str, names: tuple[str, ...], columns: list[Any], pg: Any) -> None:
    stream = pg.stream(lambda low, high: [column[low:high] for column in columns], len(columns[0]))
    with closing(cluster.raw(VOLUME)) as raw, raw, raw.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} ({', '.join(names)}) FROM STDIN (FORMAT binary)", stream)


def freeze(services: Services) -> None:
    """Freeze version 1 as the engine does, unit after unit in this process."""
    queue: list[Message] = []
    record = launch(services, RunRequest(RunKind.FREEZE, DATASTACK, as_of=MOMENT), queue.extend)
    while queue:
        message = queue.pop(0)
        queue += run_unit(services, message.database, message.unit, "bench")
    found = find_run(services.cluster, record.id)
    if found.status is not RunStatus.SUCCEEDED:
        raise SystemExit(f"the freeze failed: {found.error}")
