"""A chunkedgraph of a few supervoxels, with the odd rules of the real one (outside_services.md 1.3-1.5)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from .servers import Answer, Request

TOP = 5
BIRTH = datetime(2026, 1, 1, tzinfo=UTC)


def node(layer: int, number: int) -> int:
    """An id of a layer."""
    return (layer << 56) | number


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@dataclass
class MiniGraph:
    """Supervoxels 1..n, each its own root at birth. `edit` gives a set of them a new root.

    A server over HTTP when called; `roots_at` is the truth to compare with.
    """

    count: int = 30
    table: str = "mini_pcg"
    data_dir: str = "gs://bucket/watershed"
    history: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    log: list[tuple[int, list[int], list[int]]] = field(default_factory=list)
    minted: int = 0

    def __post_init__(self) -> None:
        for number in range(1, self.count + 1):
            self.history[node(1, number)] = [(milliseconds(BIRTH), self.mint())]

    @property
    def supervoxels(self) -> np.ndarray:
        return np.array(sorted(self.history), dtype=np.int64)

    def mint(self) -> int:
        self.minted += 1
        return node(TOP, self.minted * 257)

    def edit(self, moment: datetime, *parts: list[int]) -> list[int]:
        """Each part becomes a root of its own; the roots it came from retire."""
        old, new = [], []
        for part in parts:
            root = self.mint()
            for supervoxel in part:
                old.append(self.history[supervoxel][-1][1])
                self.history[supervoxel].append((milliseconds(moment), root))
            new.append(root)
        self.log.append((milliseconds(moment), old, new))
        return new

    def root_at(self, supervoxel: int, at_ms: int) -> int:
        """The root, or 0."""
        rows = self.history.get(supervoxel, [])
        place = bisect_right([moment for moment, _ in rows], at_ms)
        return rows[place - 1][1] if place else 0

    def roots_at(self, supervoxels: np.ndarray, at: datetime) -> np.ndarray:
        return np.array([self.root_at(int(s), milliseconds(at)) for s in supervoxels], dtype=np.int64)

    def __call__(self, request: Request) -> Answer:
        if request.path == f"/segmentation/table/{self.table}/info":
            return Answer.of({"data_dir": self.data_dir, "graph": {"n_layers": TOP, "cv_mip": 1}})
        call = request.path.removeprefix(f"/segmentation/api/v1/table/{self.table}/")
        handler = getattr(self, f"_{call}", None)
        return handler(request) if handler else Answer.of({"message": f"no {call}"}, 404)

    def _roots_binary(self, request: Request) -> Answer:
        ids = np.frombuffer(request.body, dtype="<u8").astype(np.int64)
        at = _moment(request, "timestamp")
        roots = np.array([self.root_at(int(i), at) for i in ids], dtype=np.int64)
        at_top = (ids >> 56) >= TOP
        if not roots[~at_top].any():  # nothing has a parent row, so the server stops climbing
            roots = ids
        return Answer(200, np.where(at_top, ids, roots).astype("<u8").tobytes())

    def _is_latest_roots(self, request: Request) -> Answer:
        at = _moment(request, "timestamp") - 1  # this one looks strictly before
        latest = {rows[-1] for rows in ([r for m, r in h if m <= at] for h in self.history.values()) if rows}
        return Answer.of({"is_latest": [i in latest for i in request.json()["node_ids"]]})

    def _root_timestamps(self, request: Request) -> Answer:
        born = {root: moment for rows in self.history.values() for moment, root in rows}
        ids = request.json()["node_ids"]
        if not any(i in born for i in ids):
            return Answer.of({"timestamp": []})
        if not all(i in born for i in ids):
            return Answer.of({"message": "KeyError"}, 500)
        return Answer.of({"timestamp": [born[i] / 1000 for i in ids]})

    def _delta_roots(self, request: Request) -> Answer:
        low, high = _moment(request, "timestamp_past"), _moment(request, "timestamp_future")
        rows = [(old, new) for moment, old, new in self.log if low <= moment <= high]
        old, new = ([i for row in rows for i in row[side]] for side in (0, 1))
        return Answer.of({"old_roots": old, "new_roots": new})

    def _past_id_mapping(self, request: Request) -> Answer:
        past = _moment(request, "timestamp_past")
        mapping = {}
        for root in request.json()["root_ids"]:
            members = [s for s, rows in self.history.items() if any(r == root for _, r in rows)]
            if not members:
                return Answer.of({"message": "AssertionError"}, 500)
            mapping[str(root)] = sorted({self.root_at(s, past) for s in members})
        return Answer.of({"past_id_map": mapping, "future_id_map": {}})

    def _oldest_timestamp(self, request: Request) -> Answer:
        if not self.log:
            return Answer.of({"message": "no operation"}, 500)
        first = datetime.fromtimestamp((self.log[0][0] - 500) / 1000, UTC)
        return Answer.of({"iso": str(first)})


def _moment(request: Request, name: str) -> int:
    """As the real server: a float of seconds, floored to the millisecond."""
    moment = datetime.fromtimestamp(float(request.query[name]), UTC)
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000
