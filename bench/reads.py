"""Reads side by side with what the bare SQL costs: `python -m bench.reads [--rows N] [--rounds N] [--json FILE]`.

A point query by root id, queries of a later moment, and long downloads, each a whole HTTP request on loopback to the
web process as the stack runs it; in turn with psycopg2 on the same rows. Every answer is compared with the workload.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import psycopg2
import pyarrow as pa

from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.urls import libpq
from materializationengine.stack import programs

from .reads_world import DATASTACK, LATER, TABLE, World, make, micros

FROZEN = f"{DATASTACK}__mat1"
PATH = f"/materialize/api/v3/datastack/{DATASTACK}"
QUERY = f"{PATH}/version/1/table/{TABLE}/query"
DOWNLOAD = 500_000
_BLOCK = 1 << 18
_ROW = (
    "id, valid, pre_pt_supervoxel_id, pre_pt_root_id, post_pt_supervoxel_id, post_pt_root_id, size::real, "
    + ", ".join(f"ST_{axis}({side}_pt_position)::integer" for side in ("pre", "post", "ctr") for axis in "XYZ")
)
"""The whole row, its positions as the numbers that travel."""


@dataclass
class Timings:
    """Milliseconds of one kind of request, round by round."""

    rounds: list[list[float]] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Over all rounds."""
        return float(np.percentile(np.concatenate(self.rounds), 100 * share))

    def quietest(self, share: float) -> float:
        """Of the round in which it was smallest: what other processes disturbed least."""
        return min(float(np.percentile(each, 100 * share)) for each in self.rounds)

    def figures(self) -> dict[str, float]:
        """What is printed."""
        named = {"p50": 0.5, "p99": 0.99}
        whole = {name: round(self.quantile(share), 2) for name, share in named.items()}
        return whole | {f"{name}_quietest": round(self.quietest(share), 2) for name, share in named.items()}


@dataclass
class Rates:
    """One kind of download: rows a second, seconds to the first byte, and memory beyond what was held before."""

    rows_per_second: list[float] = field(default_factory=list)
    first_byte_ms: list[float] = field(default_factory=list)
    extra_mb: list[float] = field(default_factory=list)
    body_mb: float = 0.0

    def figures(self) -> dict[str, float]:
        """What is printed: medians, and the largest memory."""
        found = {"rows_per_second": round(statistics.median(self.rows_per_second))}
        if self.first_byte_ms:
            found["first_byte_ms"] = round(statistics.median(self.first_byte_ms), 1)
            found["extra_mb"] = round(max(self.extra_mb), 1)
        return found | {"body_mb": round(self.body_mb, 1)}


class Server:
    """The web process, as the stack runs it but for the neighbors."""

    def __init__(self, world: World, folder: Path) -> None:
        self._log = (folder / "web.log").open("w")
        with closing(socket.socket()) as bound:
            bound.bind(("127.0.0.1", 0))
            bound.listen(64)
            bound.set_inheritable(True)
            self.address = f"127.0.0.1:{bound.getsockname()[1]}"
            command = [*programs.web(f"fd://{bound.fileno()}")[:-1], "bench.reads_app:create_app()"]
            self._process = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **world.environ},
                pass_fds=[bound.fileno()],
                stdout=self._log,
                stderr=self._log,
            )

    def worker(self) -> int:
        """The process that answers."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def memory(self, *, forget: bool = False) -> float:
        """The most memory that the process has held since the last `forget`, MB."""
        folder = Path(f"/proc/{self.worker()}")
        lines = (folder / "status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        if forget:
            (folder / "clear_refs").write_text("5")
            lines = (folder / "status").read_text().splitlines()
            peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        return peak / 1024

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=20)
        self._log.close()


class Client:
    """One connection that is kept, as a session of any HTTP library keeps it."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=120)

    def rows(self, path: str, body: dict[str, Any]) -> pa.Table:
        """The table that a query gives."""
        return read(self.post(path, body))

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        """A whole request, to the last byte. Raises SystemExit for anything but a 200."""
        return self.open(path, body, "").read()

    def open(self, path: str, body: dict[str, Any], encoding: str) -> http.client.HTTPResponse:
        """A request whose answer is still to be read."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": encoding}
        self._connection.request("POST", path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {answer.read()[:500]!r}")
        return answer


def read(body: bytes) -> pa.Table:
    """The table of an Arrow stream."""
    with pa.ipc.open_stream(io.BytesIO(body)) as reader:
        return reader.read_all()


class Bench:
    """Measurements on one world, in turn, so that what disturbs one disturbs all."""

    def __init__(self, world: World, server: Server) -> None:
        self._world, self._server, self._client = world, server, Client(server.address)
        self._raw = psycopg2.connect(libpq(world.url, database=FROZEN))
        self._dice = np.random.default_rng(1)
        self.points = {name: Timings() for name in ("bare select", "point query", "live, unchanged", "live, edited")}
        self.downloads = {name: Rates() for name in ("bare binary COPY", "", "lz4", "zstd", "gzip")}

    def warm(self) -> None:
        """Ask everything once, so that no figure holds a first time, and hold the answers against the truth."""
        truth = Truth(self._world)
        for root in self._roots(self._world.roots, 20):
            got = self._client.rows(QUERY, by_root(root))["id"].to_pylist()
            assert sorted(got) == self._select(root), f"root {root} of the version"
        for root in [*self._latest(True, 10), *self._latest(False, 10)]:
            got = self._client.rows(f"{PATH}/query", at_later(root))["id"].to_pylist()
            assert sorted(got) == truth.ids(root), f"root {root} of the later moment"

    def round(self, count: int) -> None:
        """One round of everything."""
        roots = self._roots(self._world.roots, count)
        self._client = Client(self._server.address)
        self._time("bare select", roots, self._select)
        self._time("point query", roots, lambda root: self._client.post(QUERY, by_root(root)))
        for name, edited in (("live, unchanged", False), ("live, edited", True)):
            roots = self._latest(edited, count)
            self._time(name, roots, lambda root: self._client.post(f"{PATH}/query", at_later(root)))
        for name, rates in self.downloads.items():
            self._copy(rates) if name.startswith("bare") else self._download(name, rates)

    def _time(self, name: str, roots: list[int], ask: Callable[[int], object]) -> None:
        found = []
        for root in roots:
            began = time.perf_counter()
            ask(root)
            found.append(1000 * (time.perf_counter() - began))
        self.points[name].rounds.append(found)

    def _roots(self, known: np.ndarray, count: int) -> list[int]:
        return [int(root) for root in self._dice.choice(known, count)]

    def _latest(self, edited: bool, count: int) -> list[int]:
        """Roots of the later moment: those that stand since the version, or what edits made since."""
        world, history = self._world, self._world.later
        if not edited:
            return self._roots(world.roots[~world.edited], count)
        made = np.flatnonzero(
            (history.created > micros(moments.parse("2026-02-01"))) & (history.expired > micros(LATER))
        )
        return self._roots(history.root_id(made).astype(np.int64), count)

    def _select(self, root: int) -> list[int]:
        with self._raw.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {TABLE} WHERE pre_pt_root_id = %s", (root,))
            return sorted(row[0] for row in cursor.fetchall())

    def _copy(self, rates: Rates) -> None:
        sink = Sink()
        began = time.perf_counter()
        with self._raw.cursor() as cursor:
            select = f"SELECT {_ROW} FROM {TABLE} LIMIT {self._download_rows()}"
            cursor.copy_expert(f"COPY ({select}) TO STDOUT (FORMAT binary)", sink)
        rates.rows_per_second.append(self._download_rows() / (time.perf_counter() - began))
        rates.body_mb = sink.size / 1e6

    def _download(self, encoding: str, rates: Rates) -> None:
        held = self._server.memory(forget=True)
        began = time.perf_counter()
        # A connection of its own: the server has closed one that was idle as long as a COPY takes.
        answer = Client(self._server.address).open(QUERY, {"limit": self._download_rows()}, encoding)
        size = len(answer.read(1))
        rates.first_byte_ms.append(1000 * (time.perf_counter() - began))
        while block := answer.read(_BLOCK):
            size += len(block)
        rates.rows_per_second.append(self._download_rows() / (time.perf_counter() - began))
        rates.extra_mb.append(self._server.memory() - held)
        rates.body_mb = size / 1e6

    def _download_rows(self) -> int:
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


class Sink(io.RawIOBase):
    """Takes bytes and counts them."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.size += len(data)
        return len(data)


def by_root(root: int) -> dict[str, Any]:
    """The rows of a neuron, as clients ask for them."""
    return {"filter_equal_dict": {TABLE: {"pre_pt_root_id": root}}}


def at_later(root: int) -> dict[str, Any]:
    """The same of the later moment."""
    return {"table": TABLE, "timestamp": LATER.isoformat(), **by_root(root)}


def summary(bench: Bench, world: World, loads: list[float]) -> dict[str, Any]:
    """Every figure, and the ratios that do not depend on the machine."""
    points = {name: timings.figures() for name, timings in bench.points.items()}
    downloads = {name or "arrow": rates.figures() for name, rates in bench.downloads.items()}
    bare = points["bare select"]["p50"]
    copied = downloads["bare binary COPY"]["rows_per_second"]
    return {
        "rows": world.rows,
        "load": [round(load, 1) for load in loads],
        "milliseconds": points,
        "downloads": downloads,
        "ratios": {
            **{f"{name} / bare select": round(each["p50"] / bare, 2) for name, each in points.items()},
            **{f"{name} / COPY": round(each["rows_per_second"] / copied, 2) for name, each in downloads.items()},
        },
    }


@contextmanager
def world_of(rows: int, folder: Path) -> Iterator[World]:
    """A cluster with the table in it."""
    with PrivateCluster(folder / "postgres", durable=True, keep=False) as cluster:
        yield make(cluster, folder, rows)


@click.command()
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--rounds", default=5, show_default=True, help="Each kind of request in turn, so often.")
@click.option("--count", default=100, show_default=True, help="Point queries of each kind in a round.")
@click.option("--json", "target", type=click.Path(dir_okay=False), help="Where to write the figures as well.")
def main(rows: int, rounds: int, count: int, target: str | None) -> None:
    """Measure the reads against the bare SQL."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, world_of(rows, Path(name)) as world:
        found = measure(world, Path(name), rounds, count)
    text = json.dumps(found, indent=1)
    print(text)
    if target:
        Path(target).write_text(text + "\n")


def measure(world: World, folder: Path, rounds: int, count: int) -> dict[str, Any]:
    """Run the rounds on a world that is there."""
    server = Server(world, folder)
    try:
        bench, loads = Bench(world, server), []
        bench.warm()
        for _ in range(rounds):
            loads.append(os.getloadavg()[0])
            bench.round(count)
        return summary(bench, world, loads)
    finally:
        server.close()


if __name__ == "__main__":
    main()
