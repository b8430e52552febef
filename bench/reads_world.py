"""The table that the reads are measured on: the workload as a live table, and a version frozen of it.

Neighbors answer at once, in process: what is measured is the engine. The workload's own history says what is right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.ports import Ids
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

from .binary import Field, Stream, boolean, float8, int8, point_z, timestamp
from .neighbors import InstantServices, micros
from .root_history import RootHistory, root_id
from .workload import Synapses, Unsigned, supervoxels

DATASTACK, VOLUME, PCG, TABLE = "reads", "reads_volume", "reads_pcg", "synapses"
BIRTH = moments.parse("2026-01-01")
MOMENT = moments.parse("2026-02-01")
"""What the version is true of, and what the live roots are vouched for."""

LATER = moments.parse("2026-03-01")
"""The moment that live queries ask about, after edits that touch a tenth of the rows."""

_ANNOTATION = ("id", "created", "valid", "pre_pt_position", "post_pt_position", "ctr_pt_position", "size")
_IDS = ("id", "pre_pt_supervoxel_id", "pre_pt_root_id", "post_pt_supervoxel_id", "post_pt_root_id")


@dataclass(frozen=True, slots=True)
class World:
    """What is there to be read. `roots` are of the version; `edited` says which of them an edit replaced since."""

    url: str
    environ: Mapping[str, str]
    rows: int
    roots: Ids
    edited: npt.NDArray[np.bool_]
    later: RootHistory
    """The history itself, with every edit."""


def make(cluster: PrivateCluster, folder: Path, rows: int) -> World:
    """Fill a live database, freeze it at MOMENT, then let edits touch a tenth of the rows."""
    synapses = Synapses.make(rows, seed=1)
    history = RootHistory(rows // 100, seed=1, born=micros(BIRTH))
    bound = [supervoxels(points) for points in (synapses.pre, synapses.post)]
    nodes = [history.nodes(ids, micros(MOMENT)) for ids in bound]
    path = str(folder / "history.npz")
    history.save(path)
    environ = _environ(cluster, folder, path)
    services = InstantServices(Settings.from_env(environ), path, "bench reads")
    _fill(services, synapses, bound, [root_id(each) for each in nodes])
    freeze(services)
    services.close()
    history.edit(history.touching(nodes, 0.1, seed=5), micros(MOMENT) + 10**9, micros(LATER) - 10**9)
    history.save(path)
    live = np.unique(np.concatenate(nodes))
    edited = history.expired[live] <= micros(LATER)
    return World(cluster.url, environ, rows, root_id(live).astype(np.int64), edited, history)


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


def _fill(services: Services, synapses: Synapses, bound: list[Unsigned], roots: list[Unsigned]) -> None:
    """The live table and its segmentation, indexes included, by binary COPY."""
    stack, cluster = services.datastacks.get(DATASTACK), services.cluster
    ensure(cluster, VOLUME)
    with cluster.connect(VOLUME) as connection:
        create(connection, NewTable(TABLE, schema("synapse"), "the workload", "0", (4.0, 4.0, 40.0)))
        plan = table_plan(connection, stack, TABLE)
        create_segmentation_table(connection, stack, plan)
        connection.commit()
    count = len(synapses)
    born = np.full(count, micros(BIRTH), dtype=np.int64)
    annotation = [
        int8(synapses.ids),
        timestamp(born),
        boolean(np.ones(count, dtype=bool)),
        *(point_z(points) for points in (synapses.pre, synapses.post, synapses.ctr)),
        float8(synapses.size),
    ]
    ids = [synapses.ids, bound[0], roots[0], bound[1], roots[1]]
    _copy(cluster, TABLE, _ANNOTATION, annotation)
    _copy(cluster, str(plan.segmentation), _IDS, [int8(np.asarray(each).astype(np.int64)) for each in ids])
    with cluster.connect(VOLUME) as connection:
        index_segmentation_table(connection, plan)
        connection.commit()
    with closing(cluster.raw(VOLUME)) as raw, raw, raw.cursor() as cursor:
        cursor.execute("UPDATE annotation_table_metadata SET created = %s", (moments.naive(BIRTH),))
        cursor.execute("UPDATE segmentation_table_metadata SET last_updated = %s", (moments.naive(MOMENT),))
    with closing(cluster.raw(VOLUME)) as raw, raw.cursor() as cursor:
        raw.autocommit = True
        cursor.execute("VACUUM ANALYZE")


def _copy(cluster: Cluster, table: str, names: tuple[str, ...], columns: list[Field]) -> None:
    stream = Stream(lambda low, high: [column[low:high] for column in columns], len(columns[0]))
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
