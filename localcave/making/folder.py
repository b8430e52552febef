"""Writing a world folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorstore

from localcave.ids import IdLayout, Ids
from localcave.making.pieces import Pieces
from localcave.making.sites import Nucleus, Synapses


def write_volume(folder: Path, pieces: Pieces, chunk: int, resolution: Sequence[float], enlarged: int = 1) -> None:
    """Write the supervoxel id of every voxel as a precomputed volume, chunk files without compression on top.

    A voxel of the grid becomes so many voxels along each axis.
    """
    shape = [size * enlarged for size in pieces.rows.shape]
    volume = _create(folder / "segmentation", shape, chunk, resolution)
    ids = np.append(pieces.ids, np.uint64(0))  # row -1 is background
    step = chunk // enlarged
    # Two rows of chunks at a time: a whole slab of a large volume takes much memory.
    for x in range(0, pieces.rows.shape[0], step):
        for y in range(0, pieces.rows.shape[1], 2 * step):
            block = ids[pieces.rows[x : x + step, y : y + 2 * step]]
            for axis in range(3):
                block = block.repeat(enlarged, axis) if enlarged > 1 else block
            low = (x * enlarged, y * enlarged)
            volume[low[0] : low[0] + block.shape[0], low[1] : low[1] + block.shape[1], :, 0] = block


def _create(folder: Path, shape: Sequence[int], chunk: int, resolution: Sequence[float]) -> Any:
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"type": "segmentation", "data_type": "uint64", "num_channels": 1},
        "scale_metadata": {
            "key": "_".join(f"{size:g}" for size in resolution),
            "size": list(shape),
            "resolution": list(resolution),
            "voxel_offset": [0, 0, 0],
            "chunk_size": [chunk] * 3,
            "encoding": "compressed_segmentation",
            "compressed_segmentation_block_size": [8, 8, 8],
        },
    }
    return tensorstore.open(spec, create=True).result()


def write_graph(folder: Path, pieces: Pieces, edges: Ids, edits: Iterable[dict[str, Any]]) -> int:
    """Write supervoxels, objects, edges and edits; return the number of edges."""
    graph = _made(folder / "graph")
    np.save(graph / "supervoxels.npy", pieces.ids)
    np.save(graph / "initial_object.npy", pieces.objects.astype(np.uint64))
    np.save(graph / "edges.npy", edges)
    (graph / "edits.jsonl").write_text("".join(json.dumps(edit) + "\n" for edit in edits))
    return len(edges)


def write_about(
    folder: Path,
    shape: Sequence[int],
    chunk: int,
    resolution: Sequence[float],
    created: datetime,
    layout: IdLayout,
    figures: dict[str, Any],
) -> None:
    """Write `about.json`, last of all: a folder without it is no world."""
    bits = layout.spatial_bits(1)
    about = {
        "resolution_nm": list(resolution),
        "shape": list(shape),
        "chunk": chunk,
        "created": created.isoformat(),
        **figures,
        "id_bits": {"layer": 8, "x": bits, "y": bits, "z": bits, "segment": layout.segment_bits(1)},
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1))


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
