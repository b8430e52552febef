"""Applying the history of a world, or edits in the words of one: exact sets, whatever touches what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from localcave import edits
from localcave.edgetable import EdgeChange
from localcave.errors import Conflict, ServiceError
from localcave.graph import Draft, Step
from localcave.ids import Rows
from localcave.state import State
from localcave.worldfile import WorldEdit


def steps(world_edits: Iterable[WorldEdit], user_id: int = 0, *, recorded: bool) -> Iterator[Step]:
    """Yield each edit as a step; `recorded` ones count as the world's own history."""
    for edit in world_edits:

        def step(state: State, edit: WorldEdit = edit) -> Draft:
            try:
                change = _change(state, edit)
            except ServiceError as problem:
                raise Conflict(f"edit {edit.place} of the world: {problem}") from problem
            return Draft(change, edit.kind, user_id, edit.time_ms, edit.place if recorded else None)

        yield step


def _change(state: State, edit: WorldEdit) -> EdgeChange:
    if edit.kind == "merge":
        first, second = _known(state, [edit.first, edit.second])
        return edits.merge(state.forest, int(first), int(second))
    return edits.split_off(state.forest, _known(state, edit.leaving), int(_known(state, [edit.first])[0]))


def _known(state: State, supervoxels: Sequence[int]) -> Rows:
    ids = np.array(supervoxels, np.uint64)
    rows = state.supervoxels.rows(ids)
    if (rows < 0).any():
        raise Conflict(f"supervoxel {ids[rows < 0][0]} is not in the graph")
    return rows
