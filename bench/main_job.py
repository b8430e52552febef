"""The main job on 40,000 synapses of a world folder, through the stack's own workers.

Two figures: upload, ingest and first freeze together; and a complete workflow with nothing new. Beside them the
floor: what PostgreSQL itself takes to load the same columns, sort them into a table of a new database and index it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from materializationengine.bootstrap import Services
from materializationengine.cli.demo import MAPPING
from materializationengine.config import Settings
from materializationengine.domain.names import frozen_database
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.gateways.worlds import LocalWorlds
from materializationengine.kernel import moments
from materializationengine.kernel.columns import copy_between
from materializationengine.stack.info import StackInfo
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.celery_app import create_celery
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest, UploadRequest

BORN = moments.parse("2026-01-01")
MOMENT = moments.parse("2026-01-16")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured time, seconds, beside the most it may take and the floor of the same work."""

    name: str
    seconds: float
    at_most: float
    floor: float


def measure(stack: StackInfo, world: Path, datastack: str) -> list[Figure]:
    """Run the job once on a stack that is up."""
    services = Services(Settings.from_env(stack.environment()), "matengine bench")
    LocalWorlds(stack.localcave).load(world, datastack, None)
    columns = str(world / "annotations/synapses")
    upload = UploadRequest("synapses", "synapse", columns, MAPPING, created=BORN)
    first = _seconds(
        lambda: _run(services, RunRequest(RunKind.BULK_UPLOAD, datastack, upload=upload)),
        lambda: _run(services, RunRequest(RunKind.INGEST, datastack, as_of=MOMENT)),
        lambda: _run(services, RunRequest(RunKind.FREEZE, datastack, as_of=MOMENT)),
    )
    again = _seconds(lambda: _run(services, RunRequest(RunKind.COMPLETE, datastack, as_of=MOMENT)))
    floor = _floor(services, datastack)
    services.close()
    return [
        Figure("upload + ingest + first freeze", first, 30.0, floor),
        Figure("complete workflow, nothing new", again, 5.0, floor),
    ]


def _run(services: Services, request: RunRequest) -> None:
    record = launch(services, request, create_celery(services.settings).send)
    while not (found := find_run(services.cluster, record.id)).status.over:
        time.sleep(0.02)
    if found.status is not RunStatus.SUCCEEDED:
        raise SystemExit(f"{found.kind} failed: {found.error}")


def _seconds(*deeds: Callable[[], object]) -> float:
    began = time.perf_counter()
    for deed in deeds:
        deed()
    return time.perf_counter() - began


_FLOOR = (
    "CREATE TABLE floor_copy (LIKE synapses INCLUDING DEFAULTS)",
    "CREATE UNIQUE INDEX ON floor_copy (id)",
    "CREATE INDEX ON floor_copy (pre_pt_root_id)",
    "CREATE INDEX ON floor_copy (post_pt_root_id)",
    "CREATE INDEX ON floor_copy USING gist (ctr_pt_position gist_geometry_ops_nd)",
)


def _floor(services: Services, datastack: str) -> float:
    """Create a database, stream the frozen table into it, index it: the bare SQL of a freeze, one connection."""
    cluster, source = services.cluster, frozen_database(datastack, 1)
    target = f"{datastack}_floor"
    with closing(cluster.raw()) as admin:
        admin.autocommit = True
        began = time.perf_counter()
        admin.cursor().execute(f'CREATE DATABASE "{target}" TEMPLATE template_postgis')
        with closing(cluster.raw(source)) as reader, closing(cluster.raw(target)) as writer, writer:
            cursor = writer.cursor()
            cursor.execute(_table_of(reader))
            cursor.execute(_FLOOR[0])
            copy_between(
                reader, "COPY synapses TO STDOUT (FORMAT binary)", writer, "COPY floor_copy FROM STDIN (FORMAT binary)"
            )
            for statement in _FLOOR[1:]:
                cursor.execute(statement)
            writer.commit()
        seconds = time.perf_counter() - began
        admin.cursor().execute(f'DROP DATABASE "{target}" WITH (FORCE)')
    return seconds


def _table_of(reader: object) -> str:
    with reader.cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(
            "SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) "
            "FROM pg_attribute WHERE attrelid = 'synapses'::regclass AND attnum > 0"
        )
        ((columns,),) = cursor.fetchall()
    return f"CREATE TABLE synapses ({columns})"


def unique_name(now: datetime) -> str:
    """A datastack that no earlier measurement made."""
    return f"bench{now:%H%M%S}"
