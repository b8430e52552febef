"""Reads over HTTP, beside what the bare SQL costs on the same rows.

A point query by root id, queries of a later moment, and long downloads, each a whole request on loopback to the web
process as the stack runs it; in turn with psycopg2. Every kind of answer is compared with the workload first.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2

from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.urls import libpq

from .asked import DOWNLOAD
from .binary import Sink
from .figures import Detail, Figure
from .neighbors import micros
from .reads_server import Client, Server
from .reads_world import DATASTACK, LATER, MOMENT, TABLE, World, make
from .root_history import root_id
from .usage import family_seconds

FROZEN = f"{DATASTACK}__mat1"
PATH = f"/materialize/api/v3/datastack/{DATASTACK}"
QUERY = f"{PATH}/version/1/table/{TABLE}/query"
COUNT = 100
"""Point queries of each kind in a round."""

ENCODINGS = {"download": "", "download, lz4": "lz4", "download, zstd": "zstd"}
_BLOCK = 1 << 18
_ROW = (
    "id, valid, pre_pt_supervoxel_id, pre_pt_root_id, post_pt_supervoxel_id, post_pt_root_id, size::real, "
    + ", ".join(f"ST_{axis}({side}_pt_position)::integer" for side in ("pre", "post", "ctr") for axis in "XYZ")
)
"""The whole row, its positions as the numbers that travel."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request: seconds, CPU seconds of client, web process and PostgreSQL, and the web process's memory."""

    seconds: float
    client: float
    cpu: float
    server: float
    peak_mb: float


@dataclass
class Told:
    """What the figures don't say of one kind of request: milliseconds of each, or of the first byte, and memory."""

    milliseconds: list[float] = field(default_factory=list)
    first_byte_ms: list[float] = field(default_factory=list)
    extra_mb: list[float] = field(default_factory=list)
    body_mb: float = 0.0

    def summary(self) -> dict[str, float]:
        """Quantiles over all rounds, the median of first bytes, the largest memory beyond what was held before."""
        found = {f"p{share}_ms": np.percentile(self.milliseconds, share) for share in (50, 99) if self.milliseconds}
        if self.first_byte_ms:
            found |= {"first_byte_ms": statistics.median(self.first_byte_ms), "extra_mb": max(self.extra_mb)}
            found["body_mb"] = self.body_mb
        return {name: round(float(value), 2) for name, value in found.items()}


class Bench:
    """Measurements on one world, in turn, so that what disturbs one disturbs all."""

    def __init__(self, world: World, server: Server, postgres: Callable[[], float]) -> None:
        self._world, self._server, self._postgres = world, server, postgres
        self._client = Client(server.address)
        self._raw = psycopg2.connect(libpq(world.url, database=FROZEN))
        self._dice = np.random.default_rng(1)
        self._told: dict[str, Told] = {}

    def warm(self) -> None:
        """Ask everything once, so that no figure holds a first time, and hold the answers against the truth."""
        truth = Truth(self._world)
        for root in self._roots(self._world.roots, 20):
            self._same(QUERY, by_root(root), self._select(root))
        for root in [*self._latest(True, 10), *self._latest(False, 10)]:
            self._same(f"{PATH}/query", at_later(root), truth.ids(root))

    def _same(self, path: str, question: dict[str, Any], expected: list[int]) -> None:
        if sorted(self._client.rows(path, question)["id"].to_pylist()) != expected:
            raise RuntimeError(f"{path} with {question} does not answer with the rows that the workload has")

    def round(self) -> Iterator[Figure]:
        """One round of everything."""
        self._client.close()
        self._client = Client(self._server.address)
        roots = self._roots(self._world.roots, COUNT)
        bare = self._each("bare select", roots, self._select)
        yield self._point("point query", bare, roots, lambda root: self._client.post(QUERY, by_root(root)))
        for name, edited in (("live query, unchanged roots", False), ("live query, edited roots", True)):
            roots = self._latest(edited, COUNT)
            yield self._point(name, bare, roots, lambda root: self._client.post(f"{PATH}/query", at_later(root)))
        copied = self._spent(self._copy, 1)
        for name, encoding in ENCODINGS.items():
            yield self._figure(name, self._rows(), self._download(name, encoding), copied)

    def close(self) -> None:
        """End both connections."""
        self._client.close()
        self._raw.close()

    def details(self) -> Detail:
        """Quantiles, first bytes and memory by kind of request."""
        return Detail("reads", {name: told.summary() for name, told in self._told.items()})

    def _point(self, name: str, bare: Cost, roots: list[int], ask: Callable[[int], object]) -> Figure:
        return self._figure(name, self._world.rows, self._each(name, roots, ask), bare)

    def _figure(self, name: str, rows: int, ours: Cost, bare: Cost) -> Figure:
        return Figure(
            name,
            rows,
            ours.seconds,
            bare.seconds,
            floor_cpu=bare.client + bare.server,
            client_cpu=ours.cpu,
            server_cpu=ours.server,
            peak_mb=ours.peak_mb,
        )

    def _each(self, name: str, roots: list[int], ask: Callable[[int], object]) -> Cost:
        """The median of some requests."""
        found: list[float] = []

        def all_of_them() -> None:
            for root in roots:
                began = time.perf_counter()
                ask(root)
                found.append(time.perf_counter() - began)

        cost = asdict(self._spent(all_of_them, len(roots)))
        self._told.setdefault(name, Told()).milliseconds += [1000 * seconds for seconds in found]
        return Cost(**cost | {"seconds": statistics.median(found)})

    def _spent(self, deed: Callable[[], object], count: int) -> Cost:
        self._server.peak_mb(forget=True)
        before = (time.perf_counter(), time.process_time(), self._server.cpu(), self._postgres())
        deed()
        after = (time.perf_counter(), time.process_time(), self._server.cpu(), self._postgres())
        spent = ((now - then) / count for now, then in zip(after, before, strict=True))
        return Cost(*spent, peak_mb=self._server.peak_mb())

    def _roots(self, known: np.ndarray, count: int) -> list[int]:
        return [int(root) for root in self._dice.choice(known, count)]

    def _latest(self, edited: bool, count: int) -> list[int]:
        """Roots of the later moment: those that stand since the version, or what edits made since."""
        world, history = self._world, self._world.later
        if not edited:
            return self._roots(world.roots[~world.edited], count)
        made = np.flatnonzero((history.created > micros(MOMENT)) & (history.expired > micros(LATER)))
        return self._roots(root_id(made).astype(np.int64), count)

    def _select(self, root: int) -> list[int]:
        with self._raw.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {TABLE} WHERE pre_pt_root_id = %s", (root,))
            return sorted(row[0] for row in cursor.fetchall())

    def _copy(self) -> None:
        with self._raw.cursor() as cursor:
            select = f"SELECT {_ROW} FROM {TABLE} LIMIT {self._rows()}"
            cursor.copy_expert(f"COPY ({select}) TO STDOUT (FORMAT binary)", Sink())

    def _download(self, name: str, encoding: str) -> Cost:
        told, held = self._told.setdefault(name, Told()), self._server.peak_mb(forget=True)

        def whole() -> None:
            began = time.perf_counter()
            # A connection of its own: the server has closed one that was idle as long as a COPY takes.
            with closing(Client(self._server.address)) as client:
                answer = client.open(QUERY, {"limit": self._rows()}, encoding)
                size = len(answer.read(1))
                told.first_byte_ms.append(1000 * (time.perf_counter() - began))
                while block := answer.read(_BLOCK):
                    size += len(block)
            told.body_mb = size / 1e6

        cost = self._spent(whole, 1)
        told.extra_mb.append(cost.peak_mb - held)
        return cost

    def _rows(self) -> int:
        return min(DOWNLOAD, self._world.rows)


class Truth:
    """What the workload itself says of the later moment."""

    def __init__(self, world: World) -> None:
        with closing(psycopg2.connect(libpq(world.url, database=FROZEN))) as raw, raw.cursor() as cursor:
            cursor.execute(f"SELECT id, pre_pt_supervoxel_id FROM {TABLE}")
            known = np.array(cursor.fetchall(), dtype=np.int64)
        self._ids = known[:, 0]
        self._roots = world.later.roots(known[:, 1].astype(np.uint64), micros(LATER)).astype(np.int64)

    def ids(self, root: int) -> list[int]:
        """The rows whose first point belongs to a root."""
        return sorted(self._ids[self._roots == root].tolist())


def by_root(root: int) -> dict[str, Any]:
    """The rows of a neuron, as clients ask for them."""
    return {"filter_equal_dict": {TABLE: {"pre_pt_root_id": root}}}


def at_later(root: int) -> dict[str, Any]:
    """The same of the later moment."""
    return {"table": TABLE, "timestamp": LATER.isoformat(), **by_root(root)}


def measure(rows: int, rounds: int, folder: Path) -> Iterator[Figure | Detail]:
    """Every kind of read, round by round, of a table on a cluster of its own in a folder."""
    with PrivateCluster(folder / "postgres", durable=True, keep=False) as cluster:
        world = make(cluster, folder, rows)
        server = Server(world, folder)
        try:
            with closing(Bench(world, server, lambda: family_seconds(cluster.pid))) as bench:
                bench.warm()
                for _ in range(rounds):
                    yield from bench.round()
                yield bench.details()
        except (RuntimeError, OSError):
            print(server.log.read_text()[-4000:], file=sys.stderr)
            raise
        finally:
            server.close()
