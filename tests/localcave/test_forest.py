"""The tree under random edits: always the partition that plain sets give, and always well built."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcave import edits
from localcave.building import Base, build
from localcave.errors import Conflict
from localcave.forest import Forest
from localcave.ids import IdLayout, Minter, layers_of

LAYERS = 4  # four chunks along an axis


def planted(seed: int, layers: int = LAYERS) -> tuple[Forest, Base, np.ndarray]:
    """Return a forest over random supervoxels, with few edges, so that most objects have parts that don't
    touch.
    """
    rng = np.random.default_rng(seed)
    layout = IdLayout(layers)
    side = 1 << (layers - 2)
    x, y, z, segment = (rng.integers(low, high, 40) for low, high in ((0, side), (0, side), (0, side), (1, 9)))
    supervoxels = np.unique((1 << 56 | x << 46 | y << 36 | z << 26 | segment).astype(np.uint64))
    objects = rng.integers(1, 9, len(supervoxels)).astype(np.uint64)
    pairs = np.unique(np.sort(rng.integers(0, len(supervoxels), (60, 2)), axis=1), axis=0)
    pairs = pairs[(pairs[:, 0] != pairs[:, 1]) & (objects[pairs[:, 0]] == objects[pairs[:, 1]])]
    minter = Minter(layout, "t")
    base = build(layout, minter, supervoxels, objects, pairs, np.ones(len(pairs), np.int64))
    return Forest(layout, base, minter), base, objects.astype(np.int64)


def check(forest: Forest, objects: np.ndarray, layers: int = LAYERS) -> None:
    tops = forest.tops(np.arange(len(objects)))
    assert (
        len({*zip(tops.tolist(), objects.tolist(), strict=True)}) == len({*tops.tolist()}) == len({*objects.tolist()})
    )
    ids = forest.tree.ids.values
    assert (layers_of(ids[tops]) == layers).all()
    assert len(np.unique(ids)) == len(ids)
    for root in np.unique(tops):
        members = forest.around(int(root)).members
        assert members.tolist() == np.flatnonzero(tops == root).tolist()
        check_nodes(forest, int(root), layers)


def check_nodes(forest: Forest, node: int, layers: int) -> None:
    """Each child names its parent and shares its chunk; a node between layers 2 and the top joins at least
    two.
    """
    ids, layout = forest.tree.ids.values, IdLayout(layers)
    children = forest.tree.children(node)
    layer = int(ids[node]) >> 56
    for child in children.tolist():
        assert forest.tree.parents.values[child] == node
        assert int(ids[child]) >> 56 < layer
        check_nodes(forest, child, layers)
    assert layer in (1, 2, layers) or len(children) >= 2
    if layer > 1:
        leaves = forest.around(node).members
        prefix = int(ids[node]) >> layout.segment_bits(layer)
        assert set(layout.prefixes(ids[leaves], layer).tolist()) == {prefix}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), choices=st.lists(st.integers(0, 10**9), max_size=12))
def test_random_edits(seed: int, choices: list[int]) -> None:
    forest, _, objects = planted(seed)
    for number, choice in enumerate(choices):
        rng = np.random.default_rng(choice)
        objects = merge_or_split(forest, objects, rng, fresh=1000 + 2 * number)
        check(forest, objects)


def merge_or_split(forest: Forest, objects: np.ndarray, rng: np.random.Generator, fresh: int) -> np.ndarray:
    after = objects.copy()
    first, second = rng.integers(0, len(objects), 2).tolist()
    if objects[first] != objects[second]:
        change = edits.merge(forest, first, second)
        after[np.isin(objects, objects[[first, second]])] = fresh
    else:
        members = np.flatnonzero(objects == objects[first])
        leaving = members[(rng.random(len(members)) < 0.4) & (members != first)]
        if not len(leaving):
            return after
        change = edits.split_off(forest, leaving, first)
        after[members], after[leaving] = fresh, fresh + 1
    result = forest.rewire(change)
    assert sorted(np.unique(after[after >= fresh]).tolist()) == sorted(
        {fresh + k for k in range(len(result.new_roots))}
    )
    return after


def test_one_chunk_makes_two_layers() -> None:
    forest, _, objects = planted(3, layers=2)
    check(forest, objects, layers=2)
    objects = merge_or_split(forest, objects, np.random.default_rng(5), fresh=1000)
    check(forest, objects, layers=2)


def test_a_split_must_leave_something_of_its_own_object() -> None:
    forest, _, objects = planted(4)
    members = np.flatnonzero(objects == objects[0])
    stranger = np.flatnonzero(objects != objects[0])[:1]
    for leaving in (members, members[:0], np.append(members[1:2], stranger)):
        with pytest.raises(Conflict, match="split"):
            edits.split_off(forest, leaving, int(members[0]))


def test_a_merge_needs_two_objects() -> None:
    forest, _, objects = planted(4)
    first, second = np.flatnonzero(objects == objects[0])[:2].tolist()
    with pytest.raises(Conflict, match="one object"):
        edits.merge(forest, first, second)
