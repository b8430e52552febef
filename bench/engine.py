"""The engine's own work on N synapses, each part beside the floor of the same work on the same cluster.

A round makes what it needs in order: upload, ingest, freeze, root updates, a complete workflow. Before each part the
live database is put back to what the part starts from, and the floor's statements run just before or after it. Every
result is compared with the truth of the workload, cell by cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np

from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind
from materializationengine.workflows.requests import RunRequest, UploadRequest

from .cluster import Ground, ground
from .figures import Figure
from .floors import Cost, Floors
from .neighbors import EPOCH, micros
from .root_history import RootHistory
from .workers import Crew, RunCost, crew
from .workload import Synapses, supervoxels

STACK, LIVE, TABLE, PCG = "bench", "bench_volume", "synapses", "bench_pcg"
SEGMENTATION = f"{TABLE}__{PCG}"
FULL, BARE = "bench_kept_full", "bench_kept_bare"
BORN = EPOCH + timedelta(microseconds=1767225600_000000)
"""2026-01-01: the workload's t0, at which every root and every row came to be."""

MARK = BORN + timedelta(days=1)
EDITED = (BORN + timedelta(days=2), BORN + timedelta(days=20))
LATER = BORN + timedelta(days=31)
FRACTIONS = (0.01, 0.10, 0.50)
PARTS = (
    "bulk upload",
    "ingest",
    "freeze",
    *(f"update {fraction:.0%}" for fraction in FRACTIONS),
    "complete",
    "incremental",
)
_GROWN = ("history_rows", "history_bytes", "ledger_rows", "ledger_bytes")
MAPPING = {
    "id.npy": "id",
    "pre.npy": "pre_pt_position",
    "post.npy": "post_pt_position",
    "ctr.npy": "ctr_pt_position",
    "size.npy": "size",
    "pre_sv.npy": "pre_pt_supervoxel_id",
    "post_sv.npy": "post_pt_supervoxel_id",
    "pre_root.npy": "pre_pt_root_id",
    "post_root.npy": "post_pt_root_id",
}


class World:
    """N synapses on disk, and the history that decides their roots."""

    def __init__(self, rows: int, folder: Path) -> None:
        self.rows, self.folder, self.file = rows, folder, str(folder / "history.npz")
        self.synapses = Synapses.make(rows, seed=1)
        self.supervoxels = [supervoxels(x) for x in (self.synapses.pre, self.synapses.post)]
        self.history = self._fresh()
        self.nodes = [self.history.nodes(x, micros(BORN)) for x in self.supervoxels]
        self.edit(0.0)

    def edit(self, fraction: float) -> None:
        """Begin anew, with edits that touch this fraction of the rows."""
        self.history = self._fresh()
        if fraction:
            touched = self.history.touching(self.nodes, fraction, seed=5)
            self.history.edit(touched, micros(EDITED[0]), micros(EDITED[1]))
        self.history.save(self.file)

    def _fresh(self) -> RootHistory:
        return RootHistory(max(self.rows // 100, 50), seed=1, born=micros(BORN))

    def roots(self, at: object) -> list[np.ndarray]:
        """The truth: roots of both points at a moment, in order of ids."""
        return [self.history.roots(x, micros(at)).view(np.int64) for x in self.supervoxels]

    def columns(self) -> str:
        """Write the `.npy` files of a bulk upload; returns their folder."""
        columns = self.folder / "columns"
        columns.mkdir(exist_ok=True)
        s, roots = self.synapses, self.roots(MARK)
        named = {"id": s.ids, "pre": s.pre, "post": s.post, "ctr": s.ctr, "size": s.size}
        named |= {"pre_sv": self.supervoxels[0].view(np.int64), "post_sv": self.supervoxels[1].view(np.int64)}
        named |= {"pre_root": roots[0], "post_root": roots[1]}
        for name, values in named.items():
            np.save(columns / f"{name}.npy", values)
        return str(columns)


def datastacks_file(folder: Path) -> str:
    """The record of the one datastack, as the engine reads it."""
    source = f"graphene://http://127.0.0.1:1/segmentation/table/{PCG}"
    axes = {f"viewer_resolution_{axis}": size for axis, size in zip("xyz", (4, 4, 40), strict=True)}
    record = {"aligned_volume": {"name": LIVE}, "segmentation_source": source, **axes}
    path = folder / "datastacks.json"
    path.write_text(json.dumps({STACK: record}))
    return str(path)


class Bench:
    """One size of world on one cluster, with workers that live for all rounds."""

    def __init__(self, ground: Ground, world: World, hands: Crew) -> None:
        self.ground, self.world, self.hands = ground, world, hands
        self.floors = Floors(ground.dsn, world.synapses, world.history, micros(BORN), ground.server_seconds)
        self.figures: list[Figure] = []

    def round(self, parts: frozenset[str]) -> Iterator[Figure]:
        """Every part once, as it is done; those not asked for are left out, but for the upload that all start from."""
        deeds: dict[str, Callable[[], None]] = {
            "bulk upload": self._upload,
            "ingest": self._ingest,
            "freeze": self._freeze,
            **{f"update {fraction:.0%}": partial(self._update, fraction) for fraction in FRACTIONS},
            "complete": self._complete,
            "incremental": self._incremental,
        }
        self.floors.open()
        self.world.edit(0.0)
        for part, deed in deeds.items():
            if part in parts or part == "bulk upload":
                deed()
                yield self.figures[-1]
        self.floors.close()

    def _measure(self, part: str, request: RunRequest, floor: Callable[[], Cost]) -> RunCost:
        expected = floor()
        server = self.ground.server_seconds()
        history = self._history_size()
        cost = self.hands.run(request)
        grown = [now - then for now, then in zip(self._history_size(), history, strict=True)]
        self.figures.append(
            Figure(
                part,
                self.world.rows,
                cost.seconds,
                expected.seconds,
                floor_cpu=expected.cpu,
                client_cpu=cost.client_cpu,
                server_cpu=self.ground.server_seconds() - server,
                neighbors=cost.neighbors,
                peak_mb=cost.peak_mb,
                steps=cost.steps,
                **dict(zip(_GROWN, grown, strict=True)),
            )
        )
        return cost

    def _history_size(self) -> list[int]:
        """Rows and bytes of the root history, rows and bytes of the ledger; zeros before there is a live database."""
        if not self.ground.rows(f"SELECT 1 FROM pg_database WHERE datname = '{LIVE}'"):
            return [0, 0, 0, 0]
        statement = (
            "SELECT (SELECT count(*) FROM matengine.root_held), "
            "pg_total_relation_size('matengine.root_held') + pg_total_relation_size('matengine.root_span'), "
            "(SELECT count(*) FROM matengine.unit) + (SELECT count(*) FROM matengine.run), "
            "pg_total_relation_size('matengine.unit') + pg_total_relation_size('matengine.run')"
        )
        return [int(str(value)) for value in self.ground.rows(statement, LIVE)[0]]

    def _upload(self) -> None:
        self.ground.drop(f"{STACK}\\_\\_mat%")
        for name in (LIVE, FULL, BARE):
            self.ground.drop(name.replace("_", "\\_"))
        asked = UploadRequest(TABLE, "synapse", self.world.columns(), MAPPING, created=BORN, roots_as_of=MARK)
        self._measure("bulk upload", RunRequest(RunKind.BULK_UPLOAD, STACK, upload=asked), self.floors.bulk_upload)
        self._check_roots(LIVE, SEGMENTATION, MARK)
        self.ground.keep(LIVE, FULL)
        self.ground.execute(
            f"DROP TABLE {SEGMENTATION}", "DELETE FROM segmentation_table_metadata", "VACUUM ANALYZE", database=LIVE
        )
        self.ground.keep(LIVE, BARE)

    def _put_back(self, copy: str, edited: float = 0.0) -> None:
        self.ground.drop(f"{STACK}\\_\\_mat%")
        self.ground.put_back(copy, LIVE)
        self.world.edit(edited)

    def _ingest(self) -> None:
        self._put_back(BARE)
        self._measure("ingest", RunRequest(RunKind.INGEST, STACK, as_of=MARK), self.floors.ingest)
        self._check_roots(LIVE, SEGMENTATION, MARK)

    def _freeze(self) -> None:
        self._put_back(FULL)
        self._measure("freeze", RunRequest(RunKind.FREEZE, STACK, as_of=MARK), self.floors.freeze)
        self._check_roots(f"{STACK}__mat1", TABLE, MARK)

    def _update(self, fraction: float) -> None:
        self._put_back(FULL, fraction)
        self._measure(
            f"update {fraction:.0%}",
            RunRequest(RunKind.UPDATE_ROOTS, STACK, as_of=LATER),
            lambda: self.floors.update(fraction),
        )
        self._check_roots(LIVE, SEGMENTATION, LATER)

    def _complete(self) -> None:
        self._put_back(FULL, 0.10)
        self._measure("complete", RunRequest(RunKind.COMPLETE, STACK, as_of=LATER), lambda: self.floors.complete(0.10))
        self._check_roots(f"{STACK}__mat1", TABLE, LATER)

    def _incremental(self) -> None:
        """A second version, 1 % edited after the first, from the first; its floor is a full freeze of ours."""
        self._put_back(FULL, 0.01)
        self.hands.run(RunRequest(RunKind.FREEZE, STACK, as_of=MARK))
        self.hands.run(RunRequest(RunKind.UPDATE_ROOTS, STACK, as_of=LATER))
        full = self.hands.run(RunRequest(RunKind.FREEZE, STACK, as_of=LATER))
        self._measure(
            "incremental",
            RunRequest(RunKind.INCREMENTAL, STACK, as_of=LATER, base_version=1),
            lambda: Cost(full.seconds, full.client_cpu),
        )
        self._check_roots(f"{STACK}__mat3", TABLE, LATER)

    def _check_roots(self, database: str, table: str, at: object) -> None:
        """Every supervoxel and root of a table against the workload's truth. Raises RuntimeError."""
        columns = "id, pre_pt_supervoxel_id, pre_pt_root_id, post_pt_supervoxel_id, post_pt_root_id"
        with self.hands.services.cluster.connect(database, "check") as connection:
            rows = connection.table(f"SELECT {columns} FROM {table} ORDER BY id")
        found = [column.to_numpy() for column in rows.columns]
        truth = self.world.roots(at)
        pre, post = (x.view(np.int64) for x in self.world.supervoxels)
        expected = [self.world.synapses.ids, pre, truth[0], post, truth[1]]
        for name, mine, right in zip(columns.split(", "), found, expected, strict=True):
            if not np.array_equal(mine, right):
                raise RuntimeError(f"{database}.{table}.{name} is not what the workload says at {at}")


@contextmanager
def bench(ground: Ground, rows: int, folder: Path) -> Iterator[Bench]:
    """A world of N rows and two workers."""
    world = World(rows, folder)
    environment = {"SQLALCHEMY_DATABASE_URI": ground.url, "DATASTACKS_FILE": datastacks_file(folder)}
    with crew(Settings.from_env(environment), world.file) as hands:
        yield Bench(ground, world, hands)


def measure(rows: int, rounds: int, folder: Path) -> Iterator[Figure]:
    """Every part, round by round, on a cluster of its own in a folder."""
    with ground(folder) as found, bench(found, rows, folder) as measurement:
        for _ in range(rounds):
            yield from measurement.round(frozenset(PARTS))
