"""Every workflow once, in an order in which the last versions depend on all of them, and what they leave compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel import moments
from materializationengine.storage import annotation_tables, views
from materializationengine.storage.views import View
from materializationengine.workflows.requests import RunRequest, UploadRequest
from materializationengine.workflows.sweeper import Rounds
from tests.harness import SYNAPSE_MAPPING, Engine, ends
from tests.oracle import same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
SOME = (3, 5, 8)
OUTGOING = "SELECT pre_pt_supervoxel_id AS supervoxel, count(*) AS n FROM synapses GROUP BY 1"

Start = Callable[[RunRequest], RunRecord]
"""Carries a request out, and returns its record when it is over."""


@dataclass(frozen=True)
class Left:
    """What a chain left: its versions, which of them were retired, and the rows of the views that they built."""

    tables: list[pa.Table]
    views: list[list[tuple[int, int]]]
    retired: list[tuple[int, str]]
    owed: int


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


def upload(world: Path, datastack: str) -> RunRequest:
    """The world's synapses as table `synapses`."""
    asked = UploadRequest("synapses", "synapse", str(world / "annotations/synapses"), SYNAPSE_MAPPING, created=BIRTH)
    return RunRequest(RunKind.BULK_UPLOAD, datastack, upload=asked)


def requests(engine: Engine, world: Path, datastack: str) -> Iterator[RunRequest]:
    """Each workflow, asked for when the one before it is over."""
    yield RunRequest(RunKind.DUMMY, seconds=(0.01, 0.01))
    yield upload(world, datastack)
    _define_view(engine, datastack)
    # The first ingest fills a table without indexes, and builds them; the look-up comes before the second one.
    yield RunRequest(RunKind.INGEST, datastack, as_of=day(0))
    _unbind(engine, datastack)
    yield RunRequest(RunKind.LOOKUP_SVID, datastack, as_of=day(0), table="synapses", annotation_ids=SOME)
    yield RunRequest(RunKind.INGEST, datastack, as_of=day(0))
    yield from _without_roots(engine, datastack, RunKind.SPARSE_MISSING_ROOTS)
    yield RunRequest(RunKind.UPDATE_ROOTS, datastack, as_of=day(30))
    yield from _without_roots(engine, datastack, RunKind.DENSE_MISSING_ROOTS)
    yield RunRequest(RunKind.FREEZE, datastack, as_of=day(30))
    yield RunRequest(RunKind.UPDATE_DATABASE, datastack, as_of=day(45))
    yield RunRequest(RunKind.COMPLETE, datastack, as_of=day(60))
    yield RunRequest(RunKind.INCREMENTAL, datastack, as_of=day(61), base_version=1)
    yield RunRequest(RunKind.INCREMENTAL, datastack, base_version=1, mends=2)
    _expire(engine, datastack)
    yield RunRequest(RunKind.RETIRE, datastack, keep=2)


def _without_roots(engine: Engine, datastack: str, kind: RunKind) -> Iterator[RunRequest]:
    """Take the roots of two rows away wherever they stand, and look them up again."""
    statement = f'SELECT pre_pt_root_id, post_pt_root_id FROM "synapses__{datastack}_pcg" WHERE id = ANY ($1)'
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        found = {root for row in connection.rows(statement, list(SOME)) for root in row if root}
    yield RunRequest(RunKind.REMOVE_BAD_ROOTS, datastack, table="synapses", bad_roots=sorted(found))
    yield RunRequest(kind, datastack, as_of=day(50), table="synapses")


def _unbind(engine: Engine, datastack: str) -> None:
    """Some rows as they are before any look-up."""
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        connection.execute(f'DELETE FROM "synapses__{datastack}_pcg" WHERE id = ANY ($1)', list(SOME))
        connection.commit()


def _define_view(engine: Engine, datastack: str) -> None:
    stack = engine.services.datastacks.get(datastack)
    with engine.services.cluster.connect(stack.aligned_volume) as connection:
        views.create(connection, stack, View("outgoing", datastack, OUTGOING, "outputs", materialized=True))
        connection.commit()


def _expire(engine: Engine, datastack: str) -> None:
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        connection.execute("UPDATE analysisversion SET expires_on = '2026-01-01'")
        connection.commit()


def play(engine: Engine, world: Path, datastack: str, start: Start) -> tuple[list[RunRecord], Left]:
    """Every workflow, one after the other, each of which must succeed; the first version is gone at the end."""
    engine.load(world, datastack)
    records: list[RunRecord] = []
    left = Left([], [], [], 0)
    for request in requests(engine, world, datastack):
        if request.kind is RunKind.RETIRE:
            left = _look(engine, datastack, records)
        records.append(start(request))
        assert records[-1].status is RunStatus.SUCCEEDED, (request.kind, records[-1].error)
    return records, Left(left.tables, left.views, _versions(engine, datastack), left.owed)


def _look(engine: Engine, datastack: str, records: list[RunRecord]) -> Left:
    versions = [record.version for record in records if record.version is not None]
    shown = []
    for version in versions:
        with engine.services.cluster.connect(f"{datastack}__mat{version}") as connection:
            shown.append(connection.rows("SELECT supervoxel, n FROM outgoing ORDER BY 1"))
    with engine.services.cluster.connect(f"{datastack}_volume") as live:
        owed = int(live.value("SELECT count(*) FROM matengine.unresolved"))
    return Left([engine.frozen(datastack, version) for version in versions], shown, [], owed)


def _versions(engine: Engine, datastack: str) -> list[tuple[int, str]]:
    """Number and state of each version; a database exists for each that is AVAILABLE, and for no other."""
    with engine.services.cluster.connect(f"{datastack}_volume") as live:
        found = live.rows("SELECT version, status::text FROM analysisversion ORDER BY version")
        names = {name for (name,) in live.rows("SELECT datname::text FROM pg_database")}
    there = [version for version, _ in found if f"{datastack}__mat{version}" in names]
    assert there == [version for version, status in found if status == "AVAILABLE"]
    return found


def assert_same(found: Left, wanted: Left) -> None:
    """Equal but for the numbers of roots, of which only the partition has a meaning."""
    assert (found.views, found.retired, found.owed) == (wanted.views, wanted.retired, wanted.owed)
    for version, reference in zip(found.tables, wanted.tables, strict=True):
        assert version.drop_columns(_roots(version)).equals(reference.drop_columns(_roots(reference)))
        assert same_partition(ends(version, "root_id"), ends(reference, "root_id"))


def _roots(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name.endswith("root_id")]


def assert_nothing_left_behind(engine: Engine, datastack: str, records: list[RunRecord]) -> None:
    """No build, no staging, no table without indexes, no open unit, after a sweeper has had a look."""
    rounds = Rounds(engine.services)
    rounds(resend=0)
    rounds.close()
    with engine.services.cluster.connect() as home:
        builds = home.rows("SELECT datname FROM pg_database WHERE datname LIKE 'matengine_build%'")
    assert not [name for (name,) in builds if any(record.id in name for record in records)]
    stack = engine.services.datastacks.get(datastack)
    with engine.services.cluster.connect(stack.aligned_volume) as live:
        assert not annotation_tables.is_bare(live, annotation_tables.table_plan(live, stack, "synapses"))
        assert live.value("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'stage%'") == 0
        assert live.value("SELECT count(*) FROM matengine.unit WHERE status <> 'DONE'") == 0
        assert live.value("SELECT count(*) FROM matengine.run WHERE status = 'RUNNING'") == 0
