"""What the engine relies on in every chunkedgraph, whoever serves it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np

from materializationengine.gateways.chunkedgraph import HttpChunkedGraph

MILLISECOND = timedelta(milliseconds=1)


class Truth(Protocol):
    """A replay of the edits that knows nothing of root ids: supervoxels of equal label share a root."""

    supervoxels: np.ndarray
    birth: datetime
    edit_times: Sequence[datetime]

    def labels_at(self, moment: datetime) -> np.ndarray:
        """One label for each supervoxel."""
        ...


@dataclass(frozen=True)
class Subject:
    """A graph and the truth about it."""

    graph: HttpChunkedGraph
    truth: Truth

    @property
    def end(self) -> datetime:
        return self.truth.edit_times[-1] + timedelta(days=1)

    def moments(self) -> list[datetime]:
        """The birth, a few edits to the millisecond and just before, and the end."""
        times = self.truth.edit_times
        some = [times[0], times[len(times) // 2], times[-1]]
        return sorted({self.truth.birth, *some, *(t - MILLISECOND for t in some), self.end})


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two labelings put the same rows together."""
    one, other = (np.unique(labels, return_inverse=True)[1] for labels in (one, other))
    pairs = len(np.unique(np.stack([one, other], axis=1), axis=0))
    return pairs == len(np.unique(one)) == len(np.unique(other))


class ChunkedGraphContract:
    """Inherit, and give a fixture `subject`."""

    def test_roots_partition_the_supervoxels_at_every_time(self, subject: Subject):
        ids = subject.truth.supervoxels
        for moment in subject.moments():
            found = subject.graph.roots(ids, moment)
            assert found.resolved.all()
            assert same_partition(found.roots, subject.truth.labels_at(moment)), moment

    def test_roots_are_of_the_top_layer(self, subject: Subject):
        found = subject.graph.roots(subject.truth.supervoxels, subject.end)
        assert set((found.roots >> 56).tolist()) == {subject.graph.top_layer()}

    def test_the_past_does_not_change(self, subject: Subject):
        ids, middle = subject.truth.supervoxels, subject.moments()[3]
        before = subject.graph.roots(ids, middle).roots
        subject.graph.roots(ids, subject.end)
        np.testing.assert_array_equal(subject.graph.roots(ids, middle).roots, before)

    def test_order_and_repetition_are_kept(self, subject: Subject):
        ids = np.random.default_rng(0).choice(np.append(subject.truth.supervoxels, 0), 500)
        together = subject.graph.roots(ids, subject.end)
        for one in np.unique(ids)[:20]:
            alone = subject.graph.roots(np.array([one]), subject.end).roots[0]
            assert set(together.roots[ids == one].tolist()) == {int(alone)}
        assert not together.roots[ids == 0].any()
        assert together.resolved.all()

    def test_before_its_birth_nothing_is_resolved(self, subject: Subject):
        found = subject.graph.roots(subject.truth.supervoxels, subject.truth.birth - timedelta(days=1))
        assert not found.resolved.any()
        assert not found.roots.any()

    def test_an_unknown_supervoxel_is_unresolved(self, subject: Subject):
        unknown = np.array([subject.truth.supervoxels.max() + 10**6], dtype=np.int64)
        for asked in (unknown, np.append(unknown, subject.truth.supervoxels[:5])):
            assert not subject.graph.roots(asked, subject.end).resolved[0]

    def test_a_root_asked_as_a_supervoxel_is_unresolved(self, subject: Subject):
        root = subject.graph.roots(subject.truth.supervoxels[:1], subject.end).roots
        assert not subject.graph.roots(root, subject.end).resolved.any()

    def test_every_root_that_went_is_among_the_expired(self, subject: Subject):
        ids, moments = subject.truth.supervoxels, subject.moments()
        for since, until in itertools.pairwise(moments):
            before, after = (subject.graph.roots(ids, moment).roots for moment in (since, until))
            gone = np.setdiff1d(before, after)
            expired = subject.graph.expired_roots(since, until)
            assert np.isin(gone, expired).all()
            assert (np.diff(expired) > 0).all()

    def test_latest_roots_are_those_of_now(self, subject: Subject):
        ids = subject.truth.supervoxels
        first = np.unique(subject.graph.roots(ids, subject.truth.birth).roots)
        last = np.unique(subject.graph.roots(ids, subject.end).roots)
        assert subject.graph.is_latest(last, subject.end).all()
        np.testing.assert_array_equal(subject.graph.is_latest(first, subject.end), np.isin(first, last))

    def test_births_and_ancestors(self, subject: Subject):
        ids, before_last = subject.truth.supervoxels, subject.truth.edit_times[-1] - MILLISECOND
        old, new = (subject.graph.roots(ids, moment).roots for moment in (before_last, subject.end))
        born = np.unique(new[old != new])
        assert set(subject.graph.root_times(born)) == {subject.truth.edit_times[-1]}
        past = subject.graph.past_ids(born, before_last, subject.end).past
        assert {root: set(ids) for root, ids in past.items()} == {
            int(root): set(old[new == root].tolist()) for root in born
        }

    def test_the_oldest_moment_is_known(self, subject: Subject):
        oldest = subject.graph.oldest()
        assert oldest is not None
        assert oldest <= subject.truth.edit_times[0]
