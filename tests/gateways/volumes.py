"""Small precomputed volumes, written with TensorStore and kept beside the array they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorstore as ts

RESOLUTION = (8.0, 8.0, 40.0)

SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "hash": "identity",
    "minishard_bits": 1,
    "shard_bits": 1,
    "data_encoding": "gzip",
    "minishard_index_encoding": "gzip",
}

ENCODINGS = {
    "raw": {"encoding": "raw"},
    "compressed_segmentation": {
        "encoding": "compressed_segmentation",
        "compressed_segmentation_block_size": [8, 8, 8],
    },
}


@dataclass(frozen=True)
class Volume:
    """`labels[x, y, z]` lies at voxel `offset + (x, y, z)`."""

    path: Path
    labels: np.ndarray
    offset: tuple[int, int, int]
    chunk: tuple[int, int, int]

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def at(self, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels, 0 outside; and which voxels are inside."""
        local = voxels - np.array(self.offset)
        inside = ((local >= 0) & (local < self.labels.shape)).all(axis=1)
        found = np.zeros(len(voxels), dtype=np.int64)
        found[inside] = self.labels[tuple(local[inside].T)].astype(np.int64)
        return found, inside

    def chunk_file(self, voxel: tuple[int, int, int]) -> Path:
        """The unsharded chunk file that holds a voxel of the first scale."""
        parts = []
        for v, low, size, step in zip(voxel, self.offset, self.labels.shape, self.chunk, strict=True):
            start = low + (v - low) // step * step
            parts.append(f"{start}-{min(start + step, low + size)}")
        return self.path / "8_8_40" / "_".join(parts)


def write_volume(
    path: Path,
    encoding: str = "raw",
    offset: tuple[int, int, int] = (0, 0, 0),
    shape: tuple[int, int, int] = (40, 36, 20),
    chunk: tuple[int, int, int] = (16, 16, 8),
    sharded: bool = False,
    dtype: str = "uint64",
    seed: int = 0,
) -> Volume:
    """A volume of random blocks, a quarter of them background, of ids that no double can hold."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(2**56, 2**57, tuple(-(-n // 4) for n in shape), dtype=np.uint64)
    blocks[rng.random(blocks.shape) < 0.25] = 0
    labels = np.kron(blocks, np.ones((4, 4, 4), dtype=np.uint64))[: shape[0], : shape[1], : shape[2]]
    labels = labels.astype(dtype)
    scale = {"size": shape, "voxel_offset": offset, "resolution": RESOLUTION, "chunk_size": chunk}
    store = ts.open(
        {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{path}/"},
            "multiscale_metadata": {"type": "segmentation", "data_type": dtype, "num_channels": 1},
            "scale_metadata": {**scale, **ENCODINGS[encoding], **({"sharding": SHARDING} if sharded else {})},
            "store_data_equal_to_fill_value": True,
        },
        create=True,
        open=True,
    ).result()
    store[...] = labels[..., None]
    return Volume(path, labels, offset, chunk)
