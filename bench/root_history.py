"""Roots over time, made from a seed: which root a supervoxel had at any moment, exactly.

Node k is one root. `successors[k]` says where its supervoxels go when it is retired: twice the same node after a merge,
two nodes after a split, where a bit of the supervoxel's hash chooses the side. Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from .workload import Unsigned

Nodes = npt.NDArray[np.int64]
NEVER = np.iinfo(np.int64).max
TOP_LAYER = 12
_LAYER = np.uint64(TOP_LAYER) << np.uint64(56)
_WITHIN = ~(np.uint64(255) << np.uint64(56))


def mixed(values: Unsigned) -> Unsigned:
    """A 64-bit hash of each value: the finalizer of splitmix64."""
    x = np.asarray(values, dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found: Unsigned = x ^ (x >> np.uint64(31))
        return found


def root_id(nodes: Nodes) -> Unsigned:
    """The root of each node."""
    found: Unsigned = _LAYER | (np.asarray(nodes).astype(np.uint64) + np.uint64(1))
    return found


def node_of(roots: Unsigned) -> Nodes:
    """The node of each root."""
    return (np.asarray(roots, dtype=np.uint64) & _WITHIN).astype(np.int64) - 1


class RootHistory:
    """`count` roots at `born`; a supervoxel's hash falls in the share of one of them, and shares are skewed."""

    def __init__(self, count: int, seed: int, born: int, skew: float = 1.5) -> None:
        self._count, self._seed, self._skew = count, seed, skew
        self.created = np.full(count, born, dtype=np.int64)
        self.expired = np.full(count, NEVER, dtype=np.int64)
        self.successors = np.full((count, 2), -1, dtype=np.int64)

    def nodes(self, supervoxels: Unsigned, at: int) -> Nodes:
        """The node that holds each supervoxel at a moment."""
        ids = np.asarray(supervoxels, dtype=np.uint64)
        node = self._first(ids)
        todo = np.flatnonzero(self.expired[node] <= at)
        while len(todo):
            current = node[todo]
            side = (mixed(ids[todo] ^ mixed(current.astype(np.uint64))) & np.uint64(1)).astype(np.int64)
            node[todo] = following = self.successors[current, side]
            todo = todo[self.expired[following] <= at]
        return node

    def _first(self, ids: Unsigned) -> Nodes:
        share = (mixed(ids ^ np.uint64(self._seed)) >> np.uint64(11)).astype(np.float64) / 2.0**53
        return np.minimum((self._count * share**self._skew).astype(np.int64), self._count - 1)

    def roots(self, supervoxels: Unsigned, at: int) -> Unsigned:
        """The root of each supervoxel at a moment; supervoxel 0 has root 0."""
        ids = np.asarray(supervoxels, dtype=np.uint64)
        return np.where(ids == 0, np.uint64(0), root_id(self.nodes(ids, at)))

    def is_latest(self, roots: Unsigned, at: int) -> npt.NDArray[np.bool_]:
        """Whether each id was a root at a moment."""
        node = node_of(roots)
        known = (node >= 0) & (node < len(self.created))
        node = np.where(known, node, 0)
        return known & (self.created[node] <= at) & (self.expired[node] > at)

    def delta(self, since: int, until: int) -> tuple[Unsigned, Unsigned]:
        """Roots of `since` that were replaced by `until`, and roots of `until` that came after `since`."""
        created, expired = self.created, self.expired
        old = np.flatnonzero((created <= since) & (expired > since) & (expired <= until))
        new = np.flatnonzero((created > since) & (created <= until) & (expired > until))
        return root_id(old), root_id(new)

    def relatives(self, roots: Iterable[int], since: int, until: int) -> Unsigned:
        """The roots themselves, and all that edits of (since, until] join to them, backward and forward."""
        todo = node_of(np.array(list(roots), dtype=np.uint64)).tolist()
        seen = set(todo)
        while todo:
            node, near = todo.pop(), set[int]()
            if since < self.expired[node] <= until:
                near.update(int(each) for each in self.successors[node] if each >= 0)
            if since < self.created[node] <= until:
                one, other = self.successors.T
                near.update(np.flatnonzero((one == node) | (other == node)).tolist())
            todo += near - seen
            seen |= near
        return root_id(np.array(sorted(seen), dtype=np.int64))

    def edit(self, nodes: Nodes, start: int, end: int) -> None:
        """Retire live nodes, a merge of two and a split of one in turn, at moments spread over [start, end)."""
        groups = list(_groups(nodes.tolist()))
        made = sum(1 if len(group) == 2 else 2 for group in groups)
        place, born = len(self.created), np.empty(made, dtype=np.int64)
        number = 0
        for group, moment in zip(groups, np.linspace(start, end - 1, len(groups)).astype(np.int64), strict=True):
            count = 1 if len(group) == 2 else 2
            self.expired[group] = moment
            self.successors[group] = (place + number, place + number + count - 1)
            born[number : number + count] = moment
            number += count
        self.created = np.concatenate([self.created, born])
        self.expired = np.concatenate([self.expired, np.full(made, NEVER, dtype=np.int64)])
        self.successors = np.vstack([self.successors, np.full((made, 2), -1, dtype=np.int64)])

    def touching(self, columns: Sequence[Nodes], fraction: float, seed: int) -> Nodes:
        """Live nodes in random order, as many as it takes until a fraction of the rows holds one in any column."""
        live = np.flatnonzero(self.expired == NEVER)
        order = np.random.default_rng(seed).permutation(live)
        rank = np.full(len(self.created), len(live), dtype=np.int64)
        rank[order] = np.arange(len(order))
        first = np.minimum.reduce([rank[column] for column in columns])
        needed = int(np.ceil(fraction * len(first)))
        return order[: int(np.partition(first, needed - 1)[needed - 1]) + 1]

    def save(self, path: Path | str) -> None:
        """Write it to a file, which is replaced at once."""
        fresh = Path(f"{path}.new.npz")
        made = np.array([self._count, self._seed], dtype=np.int64)
        arrays = {"created": self.created, "expired": self.expired, "successors": self.successors}
        np.savez(fresh, made=made, skew=self._skew, **arrays)
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file that `save` wrote."""
        with np.load(path) as held:
            count, seed = held["made"].tolist()
            found = cls(count, seed, 0, float(held["skew"]))
            found.created, found.expired, found.successors = (
                held[name] for name in ("created", "expired", "successors")
            )
        return found


def _groups(nodes: list[int]) -> Iterable[list[int]]:
    size = 2
    while nodes:
        yield [nodes.pop() for _ in range(min(size, len(nodes)))]
        size = 3 - size


class HistoryFile:
    """A history on disk, read again whenever its file is replaced."""

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._read: tuple[tuple[int, int], RootHistory] | None = None

    def get(self) -> RootHistory:
        """The history as the file holds it now."""
        found = Path(self._path).stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, RootHistory.load(self._path))
        return self._read[1]
