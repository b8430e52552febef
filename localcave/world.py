"""Making a world folder: a small connectomics world that nobody has seen before, and the truth about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from localcave.ids import IdLayout, layers_for
from localcave.making import folder as files
from localcave.making import pieces, proofreading, sites, tubes

CHUNK = 64
FACES_EACH = 4  # a face of the grid is 2 x 2 faces of the volume
RESOLUTION_NM = (16, 16, 40)
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
CHECK_DAYS = (0, 15, 30, 45, 61)
FEWEST_EDITS = 20
EDITS_PER_OBJECT = 0.5


@dataclass(frozen=True)
class Figures:
    """How much a world holds."""

    supervoxels: int
    objects: int
    edges: int
    edits: int
    synapses: int


def make(folder: Path, *, seed: int, size: int = 256, synapses: int = 20_000, edits: int | None = None) -> Figures:
    """Write a world of `size` voxels along each axis into a new or empty folder; equal arguments give equal
    worlds.

    Without `edits` their number follows from the number of objects. Raises `ValueError` where no such world
    can be made.
    """
    _check(folder, size, synapses)
    rng = np.random.default_rng(seed)
    grown = tubes.grow(rng, size // 2)
    layout = IdLayout(layers_for((-(-size // CHUNK),) * 3))
    cut = pieces.cut(grown.labels, _scattered(rng, grown.objects), CHUNK // 2, layout)
    objects = len(np.unique(cut.objects))
    count = edits if edits is not None else max(FEWEST_EDITS, round(objects * EDITS_PER_OBJECT))
    lines, states = proofreading.history(rng, _scene(cut), cut.objects, CREATED, count, CHECK_DAYS)
    found = sites.synapses(rng, cut, synapses)
    files.write_volume(folder, cut, CHUNK, RESOLUTION_NM, enlarged=2)
    edges = files.write_graph(folder, cut, cut.edges(FACES_EACH), lines)
    files.write_synapses(folder, found)
    files.write_nuclei(folder, sites.nuclei(rng, cut))
    files.write_truth(folder, *_truth(cut, found, states))
    figures = Figures(len(cut.ids), objects, edges, count, synapses)
    about = {"check_days": CHECK_DAYS, **asdict(figures)}
    files.write_about(folder, (size,) * 3, CHUNK, RESOLUTION_NM, CREATED, layout, about)
    return figures


def _check(folder: Path, size: int, synapses: int) -> None:
    if size < CHUNK or size % 2:
        raise ValueError(f"size must be even and at least {CHUNK}, not {size}")
    if synapses < 1:
        raise ValueError("a world needs at least one synapse")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)


def _scattered(rng: np.random.Generator, objects: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give objects names without order, so that nobody takes them for positions."""
    names = rng.choice(90_000_000, objects.max() + 1, replace=False) + 1_000_000
    names[0] = 0
    return names[objects]


def _scene(cut: pieces.Pieces) -> proofreading.Scene:
    counts, sums = np.zeros(len(cut.ids)), np.zeros((3, len(cut.ids)))
    for start, where, rows in cut.solid():
        counts += np.bincount(rows, minlength=len(cut.ids))
        for axis, along in enumerate(np.unravel_index(where + start, cut.rows.shape)):
            sums[axis] += np.bincount(rows, weights=along, minlength=len(cut.ids))
    return proofreading.Scene(cut.ids, (sums / counts).T, cut.touching())


def _truth(
    cut: pieces.Pieces, found: sites.Synapses, states: dict[int, npt.NDArray[np.int64]]
) -> tuple[npt.NDArray[np.uint64], dict[int, npt.NDArray[np.int64]]]:
    rows = np.stack([cut.rows[tuple(points.T // 2)] for points in (found.pre, found.post)], axis=1)
    by_day = {day: np.append(objects, 0)[rows] for day, objects in states.items()}
    return np.append(cut.ids, np.uint64(0))[rows], by_day
