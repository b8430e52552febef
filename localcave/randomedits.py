"""Edits that nobody wanted: merges and splits drawn at random, for tests of whoever watches a graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from localcave import edits
from localcave.edgetable import EdgeChange
from localcave.graph import Draft, Step
from localcave.state import State

SPLITS = 0.45
TRIES = 20


def steps(count: int, seed: int, user_id: int = 0) -> Iterator[Step]:
    """Yield so many edits; equal seeds on equal graphs give equal edits."""
    rng = np.random.default_rng(seed)

    def step(state: State) -> Draft:
        split = rng.random() < SPLITS
        for kind in ("split", "merge") if split else ("merge", "split"):
            change = _split(state, rng) if kind == "split" else _merge(state, rng)
            if change is not None:
                return Draft(change, kind, user_id)
        return Draft(EdgeChange.of(), "merge", user_id)  # one supervoxel: there is nothing to edit

    for _ in range(count):
        yield step


def _merge(state: State, rng: np.random.Generator) -> EdgeChange | None:
    """Join the objects of two supervoxels, often of neighbors in id, which lie close together."""
    for _ in range(TRIES):
        first = int(rng.integers(state.supervoxel_count))
        near = first + int(rng.integers(-50, 51))
        second = near % state.supervoxel_count if rng.random() < 0.8 else int(rng.integers(state.supervoxel_count))
        tops = state.forest.tops(np.array([first, second]))
        if tops[0] != tops[1]:
            return edits.merge(state.forest, first, second)
    return None


def _split(state: State, rng: np.random.Generator) -> EdgeChange | None:
    """Take the supervoxels beyond a random one away, in the order of ids, which is one in space."""
    for _ in range(TRIES):
        chosen = rng.integers(state.supervoxel_count, size=1)
        members = state.forest.around(int(state.forest.tops(chosen)[0])).members
        if len(members) > 1:
            place = int(rng.integers(1, len(members)))
            return edits.split_off(state.forest, members[place:], int(members[0]))
    return None
