"""Ids: the bits of a layer, chunk and segment, and that none is handed out twice."""

from __future__ import annotations

import numpy as np
import pytest

from localcave.ids import IdLayout, Minter, layers_for, layers_of
from localcave.supervoxels import SupervoxelIndex


@pytest.mark.parametrize(("chunks", "layers"), [((1, 1, 1), 2), ((2, 1, 1), 3), ((8, 8, 8), 5), ((9, 1, 1), 6)])
def test_layers_follow_from_the_longest_axis(chunks: tuple[int, int, int], layers: int) -> None:
    assert layers_for(chunks) == layers


def test_bits_of_a_large_graph() -> None:
    layout = IdLayout(12)
    assert [layout.spatial_bits(layer) for layer in range(1, 13)] == [10, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1]
    assert layout.segment_bits(1) == 26
    assert layout.segment_bits(12) == 53


def test_a_root_id_starts_where_those_of_minnie_do() -> None:
    root = int(Minter(IdLayout(12), "t").mint(12, np.array([12 << 3], np.uint64))[0])
    assert 0 < root - 864691128455135232 < 1 << 16
    assert root >> 56 == 12


def test_a_supervoxel_tells_its_chunk_at_every_layer() -> None:
    layout = IdLayout(5)
    supervoxel = np.array([1 << 56 | 5 << 46 | 2 << 36 | 7 << 26 | 9], np.uint64)
    assert layout.coordinates(supervoxel, 1).tolist() == [[5, 2, 7]]
    above = layout.prefixes(supervoxel, 3) << np.uint64(layout.segment_bits(3))
    assert layers_of(above).tolist() == [3]
    assert layout.coordinates(above, 3).tolist() == [[2, 1, 3]]


def test_crossing_layers() -> None:
    layout = IdLayout(5)
    place = lambda x: np.array([1 << 56 | x << 46 | 1], np.uint64)  # noqa: E731
    crossing = [int(layout.crossing_layers(place(a), place(b))[0]) for a, b in [(3, 3), (2, 3), (1, 2), (3, 4)]]
    assert crossing == [2, 3, 4, 5]


def test_a_restarted_minter_goes_on_where_the_first_would_have() -> None:
    layout = IdLayout(4)
    chunks, top = np.array([2 << 30 | 1, 2 << 30 | 2] * 3, np.uint64), np.full(500, 4 << 3, np.uint64)
    whole, halted = Minter(layout, "t"), Minter(layout, "t")
    first = [whole.mint(2, chunks), whole.mint(4, top)]
    halted.observe(np.concatenate(first))
    assert halted.mint(2, chunks).tolist() == whole.mint(2, chunks).tolist()
    later = whole.mint(4, top)
    assert halted.mint(4, top).tolist() == later.tolist()
    roots = np.concatenate([first[1], later])
    assert len(np.unique(roots)) == 1000
    assert (np.diff(roots.astype(np.int64)) < 0).any()


def test_tables_mint_different_roots() -> None:
    top = np.full(20, 4 << 3, np.uint64)
    assert Minter(IdLayout(4), "a").mint(4, top).tolist() != Minter(IdLayout(4), "b").mint(4, top).tolist()


def test_rows_of_dense_sparse_and_unknown_supervoxels() -> None:
    base = 1 << 56
    ids = np.array([base | 1, base | 2, base | 5, base | 1 << 26 | 3], np.uint64)
    wanted = np.array([base | 5, base | 3, 0, base | 1 << 26 | 3, base | 2 << 26 | 1, 2**64 - 1, base | 1], np.uint64)
    assert SupervoxelIndex(IdLayout(4), ids).rows(wanted).tolist() == [2, -1, -1, 3, -1, -1, 0]
