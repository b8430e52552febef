"""Measure local CAVE at the size its issue names: a million supervoxels, ten thousand edits, over HTTP.

``python bench/localcave.py`` prints one JSON object. `--client` names the Python of an environment with the real
caveclient; without one root look-ups are asked for with plain requests.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
from scipy.spatial import cKDTree

ROOT = Path(__file__).resolve().parents[1]
PER_CHUNK = 5  # supervoxels along an axis of a chunk
CHUNK = 64
RESOLUTION = (16, 16, 40)
BIRTH = "2026-01-01T00:00:00+00:00"
TABLE = "/segmentation/api/v1/table/bench_pcg"
REFRESH = 200  # edits after which the editing client looks at all roots again


@dataclass(frozen=True)
class Grid:
    """Supervoxels on a cubic grid. `ids` are sorted; `place` gives the grid position of each, (n, 3)."""

    side: int
    ids: np.ndarray
    place: np.ndarray
    objects: np.ndarray
    pairs: np.ndarray  # rows of neighbors, (m, 2)


def grid(side: int, objects: int, seed: int) -> Grid:
    """Return a grid whose objects are what lies nearest to random seeds."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.unravel_index(np.arange(side**3), (side,) * 3), axis=1)
    chunk, within = np.divmod(place, PER_CHUNK)
    segment = (within @ (PER_CHUNK**2, PER_CHUNK, 1)) + 1
    ids = (1 << 56 | chunk[:, 0] << 46 | chunk[:, 1] << 36 | chunk[:, 2] << 26 | segment).astype(np.uint64)
    order = np.argsort(ids)
    row = np.empty(len(ids), np.int64)
    row[order] = np.arange(len(ids))
    cube = row.reshape((side,) * 3)
    low, high = ([cube.take(range(start, start + side - 1), a).ravel() for a in range(3)] for start in (0, 1))
    _, nearest = cKDTree(rng.random((objects, 3)) * side).query(place[order])
    return Grid(side, ids[order], place[order], nearest, np.stack([np.concatenate(low), np.concatenate(high)], axis=1))


def write(found: Grid, folder: Path, seed: int) -> None:
    """Write the grid as a world without a volume: its edits name supervoxels."""
    rng = np.random.default_rng(seed)
    (folder / "graph").mkdir(parents=True)
    areas = rng.integers(1, 200, len(found.pairs)).astype(np.uint64)
    table = np.column_stack([found.ids[found.pairs], areas])
    same = found.objects[found.pairs[:, 0]] == found.objects[found.pairs[:, 1]]
    np.save(folder / "graph/supervoxels.npy", found.ids)
    np.save(folder / "graph/initial_object.npy", found.objects.astype(np.uint64) + np.uint64(1))
    np.save(folder / "graph/edges.npy", table[same])
    np.save(folder / "graph/contacts.npy", table[~same])
    (folder / "graph/edits.jsonl").write_text("")
    about = {
        "resolution_nm": RESOLUTION,
        "shape": [found.side // PER_CHUNK * CHUNK] * 3,
        "chunk": CHUNK,
        "created": BIRTH,
        "id_bits": {"layer": 8, "x": 10, "y": 10, "z": 10, "segment": 26},
    }
    (folder / "about.json").write_text(json.dumps(about))


class Server:
    """A localcave process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.start()

    def start(self) -> float:
        """Start it and return the seconds until it answers."""
        begin = time.perf_counter()
        command = [sys.executable, "-m", "localcave", "serve", "--dir", str(self._folder), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        requests.get(f"{self.url}/localcave/worlds", timeout=60).raise_for_status()
        return time.perf_counter() - begin

    def kill(self) -> None:
        self.process.kill()
        with self.process:
            self.process.wait()

    def memory(self) -> dict[str, int]:
        """Return resident megabytes now and at most."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        found = {line.split(":")[0]: int(line.split()[1]) // 1024 for line in lines if line.startswith("Vm")}
        return {"now": found["VmRSS"], "peak": found["VmHWM"]}


@dataclass
class Latencies:
    """Milliseconds of the edits that were made."""

    merge: list[float]
    split: list[float]
    refused: int = 0

    def figures(self) -> dict[str, object]:
        both = {"all": self.merge + self.split, "merge": self.merge, "split": self.split}
        named = {name: _quantiles(values) for name, values in both.items()}
        return {**named, "refused": self.refused}


class Client:
    """Someone who edits: merges what touches, and cuts apart what belongs together, by points."""

    def __init__(self, server: Server, found: Grid, seed: int) -> None:
        self._server, self._found = server, found
        self._rng, self._session = np.random.default_rng(seed), requests.Session()
        self.done = Latencies([], [])

    def edit(self, count: int) -> None:
        """Make so many edits; what the service refuses does not count."""
        while len(self.done.merge) + len(self.done.split) < count:
            if (len(self.done.merge) + len(self.done.split)) % REFRESH == 0:
                self._look()
            if len(self.done.split) < len(self.done.merge):
                self._post("split", self._members(), self.done.split)
            else:
                self._post("merge", self._found.pairs[self._rng.integers(len(self._found.pairs))], self.done.merge)

    def _look(self) -> None:
        raw = self._session.post(f"{self._server.url}{TABLE}/roots_binary", data=self._found.ids.tobytes(), timeout=60)
        self._roots = np.frombuffer(raw.content, "<u8")
        self._order = np.argsort(self._roots)

    def _members(self) -> np.ndarray:
        """Return two supervoxels of one object, if nobody has cut it since."""
        root = self._roots[self._rng.integers(len(self._roots))]
        low, high = (np.searchsorted(self._roots[self._order], root, side) for side in ("left", "right"))
        return self._order[self._rng.integers(low, high, size=2)]

    def _post(self, path: str, rows: np.ndarray, into: list[float]) -> None:
        marks = [_mark(self._found, int(row)) for row in rows]
        body = {"sources": marks[:1], "sinks": marks[1:]} if path == "split" else marks
        begin = time.perf_counter()
        answer = self._session.post(f"{self._server.url}{TABLE}/{path}", json=body, timeout=60)
        took = (time.perf_counter() - begin) * 1000
        if answer.status_code == 200:
            into.append(took)
        elif answer.status_code == 400:
            self.done.refused += 1
        else:
            raise RuntimeError(answer.text)


def _mark(found: Grid, row: int) -> list[float]:
    voxel = (found.place[row] + 0.5) * CHUNK / PER_CHUNK
    return [int(found.ids[row]), *(voxel * RESOLUTION).tolist()]


def look_up(server: Server, ids: np.ndarray, repeats: int, at: float | None) -> dict[str, float]:
    """Ask for roots with plain requests."""
    session, taken, raw = requests.Session(), [], ids.tobytes()
    for number in range(repeats):
        options = {} if at is None else {"timestamp": at + number}
        begin = time.perf_counter()
        answer = session.post(f"{server.url}{TABLE}/roots_binary", data=raw, params=options, timeout=60)
        taken.append((time.perf_counter() - begin) * 1000)
        assert len(answer.content) == len(raw)
    return _quantiles(taken)


CLIENT = """
import datetime, json, sys, time
import numpy as np
from caveclient import CAVEclient
graph = CAVEclient("bench", server_address=sys.argv[1], write_server_cache=False).chunkedgraph
ids = np.load(sys.argv[2])
now = datetime.datetime.now(datetime.UTC)
def taken(ids, repeats, step):
    found = []
    for number in range(repeats):
        begin = time.perf_counter()
        graph.get_roots(ids, timestamp=now - datetime.timedelta(seconds=1 + number * step))
        found.append((time.perf_counter() - begin) * 1000)
    return found
few = ids[:1000]
print(json.dumps({
    "million_each_another_moment": taken(ids, 5, 0.05),
    "million_same_moment": taken(ids, 5, 0),
    "thousand_each_another_moment": taken(few, 200, 0.001),
    "thousand_same_moment": taken(few, 200, 0),
}))
"""


def look_up_with_client(python: str, server: Server, ids: np.ndarray, folder: Path) -> dict[str, dict[str, float]]:
    """Ask for roots with the real caveclient."""
    np.save(folder / "ids.npy", ids)
    command = [python, "-c", CLIENT, server.url, str(folder / "ids.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: _quantiles(values) for name, values in json.loads(done.stdout).items()}


def _quantiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.quantile(values, [0.5, 0.99])
    return {"n": len(values), "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "max_ms": round(max(values), 2)}


def measure(folder: Path, side: int, edits: int, python: str | None, seed: int) -> dict[str, object]:
    """Measure everything once."""
    found = grid(side, side**3 // 50, seed)
    write(found, folder / "world", seed)
    server = Server(folder / "state")
    body = {"folder": str(folder / "world"), "datastack": "bench"}
    begin = time.perf_counter()
    answer = requests.post(f"{server.url}/localcave/worlds", json=body, timeout=600)
    answer.raise_for_status()
    report: dict[str, object] = {"world": {**_counts(answer.json()), "load_s": round(time.perf_counter() - begin, 2)}}
    report["memory_while_loading_mb"] = server.memory()
    server.kill()
    report["restart_fresh_s"] = round(server.start(), 2)
    client = Client(server, found, seed)
    client.edit(edits)
    report["edits"] = client.done.figures()
    report["memory_after_edits_mb"] = server.memory()
    shuffled = np.random.default_rng(seed).permutation(found.ids)
    if python:
        report["roots_with_caveclient"] = look_up_with_client(python, server, shuffled, folder)
    report["roots_now"] = {"thousand": look_up(server, shuffled[:1000], 200, None)}
    report["memory_after_reads_mb"] = server.memory()
    server.kill()
    report["restart_after_kill_s"] = round(server.start(), 2)
    report["memory_after_restart_mb"] = server.memory()
    server.kill()
    log = folder / "state/tables/bench_pcg"
    report["on_disk_mb"] = {path.name: path.stat().st_size >> 20 for path in sorted(log.iterdir())}
    return report


def _counts(counts: dict[str, object]) -> dict[str, object]:
    return {name: counts[name] for name in ("supervoxels", "objects", "edges", "layers")}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--side", type=int, default=100, help="supervoxels along each axis")
    options.add_argument("--edits", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--client", help="Python of an environment with caveclient")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), given.side, given.edits, given.client, given.seed), indent=1))


if __name__ == "__main__":
    main()
