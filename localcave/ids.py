"""The 64-bit ids of a chunkedgraph: layer, chunk and segment, most significant bits first.

8 bits of layer, three times ``spatial_bits(layer)`` of chunk coordinate, the rest is the segment. Facts after
PyChunkedGraph 2.21.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

LAYER_SHIFT = 56
SPATIAL_BITS = 10
ROOT_COUNTERS = 256


def layers_of(ids: Ids) -> npt.NDArray[np.int64]:
    """Return the layer of each id."""
    return (ids >> np.uint64(LAYER_SHIFT)).astype(np.int64)


def layers_for(chunks: tuple[int, int, int]) -> int:
    """Return the number of layers a grid of so many chunks per axis needs."""
    return max(max(chunks) - 1, 0).bit_length() + 2


@dataclass(frozen=True)
class IdLayout:
    """How the ids of one graph divide their bits."""

    layers: int

    def spatial_bits(self, layer: int) -> int:
        """Return the bits of one chunk coordinate at a layer."""
        if layer <= 2:
            return max(SPATIAL_BITS, self.layers - 2)
        return max(1, self.layers - layer)

    def segment_bits(self, layer: int) -> int:
        """Return the bits of the segment number at a layer."""
        return LAYER_SHIFT - 3 * self.spatial_bits(layer)

    def coordinates(self, ids: Ids, layer: int) -> npt.NDArray[np.int64]:
        """Return the (n, 3) chunk coordinates of ids that all lie at one layer."""
        bits, segment = self.spatial_bits(layer), self.segment_bits(layer)
        shifts = np.array([segment + 2 * bits, segment + bits, segment], np.uint64)
        return ((ids[:, None] >> shifts) & np.uint64((1 << bits) - 1)).astype(np.int64)

    def prefixes(self, supervoxels: Ids, layer: int) -> Ids:
        """Return the id bits above the segment of the chunk at `layer` that holds each supervoxel."""
        bits = np.uint64(self.spatial_bits(layer))
        packed = np.full(len(supervoxels), layer, np.uint64)
        for along in self._axes(supervoxels):
            packed = (packed << bits) | (along >> np.uint64(max(layer - 2, 0)))
        return packed

    def crossing_layers(self, first: Ids, second: Ids) -> npt.NDArray[np.int64]:
        """Return the lowest layer at which two supervoxels lie in one chunk: 2 for the same chunk, 3 for its
        pair, ...
        """
        x, y, z = self._axes(first ^ second)
        return np.frexp((x | y | z).astype(np.float64))[1].astype(np.int64) + 2

    def meeting_chunks(self, first: Ids, second: Ids) -> Ids:
        """Return the prefix of the lowest chunk that holds both of two supervoxels."""
        layers = self.crossing_layers(first, second)
        found = np.empty(len(first), np.uint64)
        for layer in np.unique(layers).tolist():
            here = layers == layer
            found[here] = self.prefixes(first[here], layer)
        return found

    def chunk_of(self, ids: Ids) -> Ids:
        """Return the prefix of the chunk of each node, of any layers."""
        layers = layers_of(ids)
        found = np.empty(len(ids), np.uint64)
        for layer in np.unique(layers).tolist():
            found[layers == layer] = ids[layers == layer] >> np.uint64(self.segment_bits(layer))
        return found

    def _axes(self, supervoxels: Ids) -> Iterator[Ids]:
        bits, segment = self.spatial_bits(1), self.segment_bits(1)
        mask = np.uint64((1 << bits) - 1)
        for axis in (2, 1, 0):
            yield (supervoxels >> np.uint64(segment + axis * bits)) & mask


@dataclass(frozen=True)
class ChunkBox:
    """A box of chunks of the lowest layer, the high ends included."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]

    def meets(self, layout: IdLayout, ids: Ids) -> npt.NDArray[np.bool_]:
        """Return which nodes, of any layers, have a chunk that shares space with the box."""
        layers = layers_of(ids)
        found = np.empty(len(ids), np.bool_)
        for layer in np.unique(layers).tolist():
            here = layers == layer
            shift = max(layer - 2, 0)
            where = layout.coordinates(ids[here], layer)
            inside = (where >= np.array(self.low) >> shift) & (where <= np.array(self.high) >> shift)
            found[here] = inside.all(axis=1)
        return found


class Minter:
    """Hands out new ids, never one twice.

    A root takes one of 256 counters drawn from the table's name and the number of roots before it, so root
    ids are not monotone in time, and yet the same edits give the same ids. Any other node counts up within
    its chunk.
    """

    def __init__(self, layout: IdLayout, table: str) -> None:
        self._layout = layout
        self._table = table.encode()
        self._last: dict[int, int] = {}
        self._counters = [0] * ROOT_COUNTERS
        self._roots = 0

    def mint(self, layer: int, prefixes: Ids) -> Ids:
        """Return one new id for each chunk prefix, in order."""
        if layer == self._layout.layers:
            segments = np.fromiter(self._root_segments(len(prefixes)), np.uint64, len(prefixes))
        else:
            segments = self._chunk_segments(prefixes)
        return (prefixes << np.uint64(self._layout.segment_bits(layer))) | segments

    def observe(self, ids: Ids) -> None:
        """Take ids minted before a restart into account."""
        layers = layers_of(ids)
        for layer in range(2, self._layout.layers):
            self._observe_chunks(ids[layers == layer], self._layout.segment_bits(layer))
        roots = ids[layers == self._layout.layers]
        self._roots += len(roots)
        segments = roots & np.uint64((1 << self._layout.segment_bits(self._layout.layers)) - 1)
        for counter in np.unique(segments % ROOT_COUNTERS):
            highest = int(segments[segments % ROOT_COUNTERS == counter].max()) // ROOT_COUNTERS
            self._counters[int(counter)] = max(self._counters[int(counter)], highest)

    def _observe_chunks(self, ids: Ids, bits: int) -> None:
        prefixes = ids >> np.uint64(bits)
        segments = ids & np.uint64((1 << bits) - 1)
        for prefix, segment in zip(prefixes.tolist(), segments.tolist(), strict=True):
            self._last[prefix] = max(self._last.get(prefix, 0), segment)

    def _root_segments(self, count: int) -> Iterator[int]:
        for _ in range(count):
            draw = hashlib.blake2b(self._table + b"|" + str(self._roots).encode(), digest_size=1).digest()[0]
            self._roots += 1
            self._counters[draw] += 1
            yield self._counters[draw] * ROOT_COUNTERS + draw

    def _chunk_segments(self, prefixes: Ids) -> Ids:
        segments = np.empty(len(prefixes), np.uint64)
        for position, prefix in enumerate(prefixes.tolist()):
            segments[position] = self._last[prefix] = self._last.get(prefix, 0) + 1
        return segments
