"""Neighbors that answer at once: the engine's ports over a `RootHistory` on disk and a grid of supervoxels.

Their own arithmetic is not free, so each answer is timed, and a measurement says how much of it was theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.domain.datastack import Datastack, Resolution
from materializationengine.domain.ports import (
    Ids,
    Points,
    Reason,
    RootChanges,
    RootLookup,
    SupervoxelLookup,
)

from .root_history import TOP_LAYER, HistoryFile, node_of
from .workload import supervoxels

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="_Timed")


def micros(moment: datetime) -> int:
    """A moment as the workload has it: microseconds since 1970, UTC."""
    return (moment - EPOCH) // timedelta(microseconds=1)


class _Timed:
    """Keeps the seconds that its answers took."""

    seconds = 0.0


def _timed(answer: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    @wraps(answer)
    def wrapped(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        began = time.perf_counter()
        try:
            return answer(self, *args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - began

    return wrapped


class InstantGraph(_Timed):
    """A chunkedgraph that knows every root at every moment."""

    def __init__(self, table: str, history: str) -> None:
        self.table = table
        self._file = HistoryFile(history)

    def top_layer(self) -> int:
        """The layer of `RootHistory`'s ids."""
        return TOP_LAYER

    @_timed
    def roots(self, supervoxels: Ids, at: datetime) -> RootLookup:
        """Exact at every moment; 0 gives 0."""
        roots = self._file.get().roots(supervoxels.view(np.uint64), micros(at)).view(np.int64)
        return RootLookup(roots, np.ones(len(roots), dtype=bool))

    @_timed
    def expired_roots(self, since: datetime, until: datetime) -> Ids:
        """Sorted roots that edits of the window replaced."""
        return self._changes(since, until).replaced

    @_timed
    def root_changes(self, since: datetime, until: datetime) -> RootChanges:
        """What the edits of the window did to roots."""
        return self._changes(since, until)

    def _changes(self, since: datetime, until: datetime) -> RootChanges:
        old, new = self._file.get().delta(micros(since), micros(until))
        return RootChanges(np.sort(old.view(np.int64)), np.sort(new.view(np.int64)))

    @_timed
    def relatives(self, roots: Ids, since: datetime, until: datetime) -> Ids:
        """What led to the roots, and what came of them."""
        return self._file.get().relatives(roots.tolist(), micros(since), micros(until)).view(np.int64)

    @_timed
    def root_times(self, roots: Ids) -> tuple[datetime, ...]:
        """When each root came to be."""
        history = self._file.get()
        born = history.created[node_of(roots.view(np.uint64))]
        return tuple(EPOCH + timedelta(microseconds=int(time)) for time in born)

    @_timed
    def is_latest(self, roots: Ids, at: datetime) -> npt.NDArray[np.bool_]:
        """Whether each id was a root at a moment."""
        latest: npt.NDArray[np.bool_] = self._file.get().is_latest(roots.view(np.uint64), micros(at))
        return latest


class InstantVolume(_Timed):
    """A volume whose supervoxels are the cells of a regular grid."""

    @_timed
    def supervoxels(self, points: Points, resolution: Resolution) -> SupervoxelLookup:
        """Each point's cell; points are in the volume's own voxels."""
        ids = supervoxels(points).view(np.int64)
        return SupervoxelLookup(ids, np.full(len(ids), Reason.FOUND, dtype=np.uint8))


class InstantServices(Services):
    """The engine's real parts, with instant neighbors at the ports of graph and volume."""

    def __init__(self, settings: Settings, history: str, application: str = "matengine bench") -> None:
        super().__init__(settings, application)
        self._history = history
        self._instant: InstantGraph | None = None
        self._grid = InstantVolume()

    def graph(self, datastack: Datastack) -> Any:
        """The instant chunkedgraph."""
        if self._instant is None:
            self._instant = InstantGraph(datastack.pcg_table, self._history)
        return self._instant

    def segmentation(self, datastack: Datastack) -> Any:
        """The instant volume."""
        return self._grid

    def neighbor_seconds(self) -> float:
        """Seconds that the neighbors' answers took in this process so far."""
        return self._grid.seconds + (self._instant.seconds if self._instant else 0.0)
