"""Root look-up over HTTP: the engine's gateway, beside the bare requests of the same bytes to the same server.

Local CAVE serves a grid of supervoxels. Each look-up asks at a moment of its own, so that none is answered from memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import requests

from materializationengine.gateways.chunkedgraph import HttpChunkedGraph, timestamp_text
from materializationengine.kernel import moments

from . import localcave
from .figures import Figure
from .usage import cpu_seconds, spent, typical

PART = "root look-up"
BATCH = 100_000
"""Supervoxels of one request, as the engine's settings have it."""

REPEATS = 5
"""Look-ups of each kind in a round, in turn: one lasts some hundredths of a second."""

Ids = npt.NDArray[np.int64]
_BIRTH = moments.parse(localcave.BIRTH)


class Asking:
    """Both ways of asking for the roots of the same supervoxels."""

    def __init__(self, server: str, ids: Ids) -> None:
        self._ids = ids
        self._graph = HttpChunkedGraph(server, "bench_pcg", batch=BATCH)
        self._session, self._url = requests.Session(), f"{server}{localcave.TABLE}/roots_binary"
        # As the gateway asks: packing ids would cost the server more than it saves.
        self._session.headers["Accept-Encoding"] = "identity"
        self._moment = _BIRTH + timedelta(days=1)
        self.ours, self.bare = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)

    def gateway(self) -> None:
        """As a unit of work does: ids in the order of rows, answers in the same order."""
        self.ours = self._graph.roots(self._ids, self._next()).roots

    def requests(self) -> None:
        """The bytes there and back."""
        words, parts = {"timestamp": timestamp_text(self._next())}, []
        for start in range(0, len(self._ids), BATCH):
            body = self._ids[start : start + BATCH].tobytes()
            answer = self._session.post(self._url, data=body, params=words, timeout=120)
            answer.raise_for_status()
            parts.append(np.frombuffer(answer.content, dtype="<i8"))
        self.bare = np.concatenate(parts)

    def check(self) -> None:
        """Both got the same. Raises RuntimeError."""
        if not np.array_equal(self.ours, self.bare) or not self.ours.all():
            raise RuntimeError("the gateway's roots are not those of the bare requests")

    def close(self) -> None:
        """End the bare connection."""
        self._session.close()

    def _next(self) -> object:
        self._moment += timedelta(seconds=1)
        return self._moment


def measure(rows: int, rounds: int, folder: Path) -> Iterator[Figure]:
    """Look up the roots of so many distinct supervoxels, in turn with bare requests."""
    side = int(np.ceil(rows ** (1 / 3)))
    grid = localcave.grid(side, max(side**3 // 50, 1), seed=1)
    localcave.write(grid, folder / "world", seed=1)
    _write_info(folder / "world/segmentation", grid.side)
    ids = np.random.default_rng(1).permutation(grid.ids)[:rows].astype(np.int64)
    server = localcave.Server(folder / "state")
    try:
        body = {"folder": str(folder / "world"), "datastack": "bench"}
        requests.post(f"{server.url}/localcave/worlds", json=body, timeout=600).raise_for_status()
        with closing(Asking(server.url, ids)) as asking:
            asking.gateway()
            asking.requests()
            for _ in range(rounds):
                yield _round(asking, rows, server.process.pid)
    finally:
        server.kill()


def _write_info(folder: Path, side: int) -> None:
    """What tells clients of the graph's layers; the volume itself is never read."""
    size = [side // localcave.PER_CHUNK * localcave.CHUNK] * 3
    scale = {"key": "none", "size": size, "resolution": localcave.RESOLUTION, "voxel_offset": [0, 0, 0]}
    scale |= {"chunk_sizes": [[localcave.CHUNK] * 3], "encoding": "raw"}
    folder.mkdir()
    info = {"type": "segmentation", "data_type": "uint64", "num_channels": 1, "scales": [scale]}
    (folder / "info").write_text(json.dumps(info))


def _round(asking: Asking, rows: int, server: int) -> Figure:
    pairs = [
        [spent(deed, lambda: cpu_seconds(server)) for deed in (asking.requests, asking.gateway)] for _ in range(REPEATS)
    ]
    bare, ours = (typical(each) for each in zip(*pairs, strict=True))
    asking.check()
    return Figure(
        PART,
        rows,
        ours.seconds,
        bare.seconds,
        floor_cpu=bare.cpu + bare.server,
        client_cpu=ours.cpu,
        server_cpu=ours.server,
        peak_mb=ours.peak_mb,
    )
