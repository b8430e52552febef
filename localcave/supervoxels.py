"""From ids to rows: arithmetic where a chunk's segments are numbered 1..k, a search where they are not."""

from __future__ import annotations

import numpy as np

from localcave.ids import IdLayout, Ids, Rows


class SupervoxelIndex:
    """The rows of supervoxel ids, which are their places in one sorted array."""

    def __init__(self, layout: IdLayout, ids: Ids) -> None:
        self._ids = ids
        self._bits = np.uint64(layout.segment_bits(1))
        self._chunks, starts = np.unique(ids >> self._bits, return_index=True)
        self._starts = starts.astype(np.int64)

    @staticmethod
    def searching(ids: Ids) -> SupervoxelIndex:
        """Return an index of sorted ids, whatever their layout."""
        return SupervoxelIndex(IdLayout(2), ids)

    def rows(self, wanted: Ids) -> Rows:
        """Return the row of each id, -1 for an unknown one."""
        if not len(self._ids):
            return np.full(len(wanted), -1, np.int64)
        chunk = np.minimum(np.searchsorted(self._chunks, wanted >> self._bits), len(self._chunks) - 1)
        segment = (wanted & np.uint64((1 << int(self._bits)) - 1)).astype(np.int64)
        guess = np.clip(self._starts[chunk] + segment - 1, 0, len(self._ids) - 1)
        missed = np.flatnonzero(self._ids[guess] != wanted)
        if len(missed):
            found = np.minimum(np.searchsorted(self._ids, wanted[missed]), len(self._ids) - 1)
            guess[missed] = np.where(self._ids[found] == wanted[missed], found, -1)
        return guess
