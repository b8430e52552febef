"""Writing a world folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorstore

from localcave.making.pieces import Pieces
from localcave.making.sites import Nucleus, Synapses


def write_volume(folder: Path, pieces: Pieces, chunk: int, resolution: Sequence[int]) -> None:
    """Write the supervoxel id of every voxel as a precomputed volume, chunk files without compression on top."""
    size = 2 * pieces.rows.shape[0]
    x, y, z = resolution
    volume = tensorstore.open(
        {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder}/segmentation/"},
            "multiscale_metadata": {"type": "segmentation", "data_type": "uint64", "num_channels": 1},
            "scale_metadata": {
                "key": f"{x}_{y}_{z}",
                "size": [size] * 3,
                "resolution": list(resolution),
                "voxel_offset": [0, 0, 0],
                "chunk_size": [chunk] * 3,
                "encoding": "compressed_segmentation",
                "compressed_segmentation_block_size": [8, 8, 8],
            },
        },
        create=True,
    ).result()
    ids = np.append(pieces.ids, np.uint64(0))  # row -1 is background
    for low in range(0, size, chunk):
        slab = ids[pieces.rows[low // 2 : (low + chunk) // 2]]
        volume[low : low + 2 * len(slab), ..., 0] = slab.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def write_graph(folder: Path, pieces: Pieces, objects: npt.NDArray[np.int64], edits: Iterable[dict[str, Any]]) -> int:
    """Write supervoxels, objects, edges and edits; return the number of edges."""
    graph = _made(folder / "graph")
    edges = pieces.edges()
    np.save(graph / "supervoxels.npy", pieces.ids)
    np.save(graph / "initial_object.npy", objects.astype(np.uint64))
    np.save(graph / "edges.npy", edges)
    (graph / "edits.jsonl").write_text("".join(json.dumps(edit) + "\n" for edit in edits))
    return len(edges)


def write_synapses(folder: Path, synapses: Synapses) -> None:
    """Write the columns of a bulk upload."""
    columns = _made(folder / "annotations/synapses")
    np.save(columns / "id.npy", np.arange(1, len(synapses.sizes) + 1))
    np.save(columns / "presyn_coords.npy", synapses.pre)
    np.save(columns / "postsyn_coords.npy", synapses.post)
    np.save(columns / "center_coords.npy", synapses.center)
    np.save(columns / "sizes.npy", synapses.sizes)


def write_nuclei(folder: Path, nuclei: Sequence[Nucleus]) -> None:
    """Write nuclei and the cell types that refer to them."""
    annotations = _made(folder / "annotations")
    header = ["id", "pt_position_x", "pt_position_y", "pt_position_z", "volume"]
    rows = [[number, *one.point, f"{one.volume:.3f}"] for number, one in enumerate(nuclei, start=1)]
    _table(annotations / "nuclei.csv", [header, *rows])
    header = ["id", "target_id", "classification_system", "cell_type"]
    rows = [[number, number, "manual", one.cell_type] for number, one in enumerate(nuclei, start=1)]
    _table(annotations / "cell_types.csv", [header, *rows])


def write_truth(folder: Path, supervoxels: npt.NDArray[np.uint64], by_day: dict[int, npt.NDArray[np.int64]]) -> None:
    """Write the supervoxel of every synapse end, and its object at some days."""
    truth = _made(folder / "truth")
    np.save(truth / "supervoxels.npy", supervoxels)
    for day, objects in by_day.items():
        np.save(truth / f"object_day{day:02}.npy", objects)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _table(path: Path, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
