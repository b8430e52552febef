"""Supervoxel look-up on a real volume: the engine's gateway, beside `scattered_points` of cloud-volume.

The other library cannot live in our environment; a driver in `.venv-cloudvolume` looks up a sample of the same points,
and its time is scaled to all of them. Both answers are compared.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

import numpy as np
import numpy.typing as npt

from materializationengine.gateways.chunkedgraph import VolumeSource
from materializationengine.gateways.segmentation import TensorStoreSegmentation
from materializationengine.kernel.processes import launch_prefix

from .figures import Figure
from .skipped import Skipped
from .usage import spent

PART = "supervoxel look-up"
ROOT = Path(__file__).resolve().parents[1]
EM512 = ROOT.parent / "shared/data/em512"
PYTHON = ROOT / ".venv-cloudvolume/bin/python"
SAMPLE = 10_000
"""Points that the other library looks up: at some thousand a second it has no time for a million."""

Points = npt.NDArray[np.int64]


class ScatteredPoints:
    """The driver, which waits in its own process."""

    def __init__(self, process: subprocess.Popen[str], labels: Path) -> None:
        self._process, self._labels = process, labels

    def look_up(self) -> tuple[float, float]:
        """All its points once: seconds by the clock and of CPU. Raises RuntimeError where it has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the driver of cloud-volume ended; its traceback is above")
        told = json.loads(line)
        return told["seconds"], told["cpu"]

    def labels(self) -> npt.NDArray[np.int64]:
        """What it found."""
        return np.load(self._labels).view(np.int64)


@contextmanager
def scattered_points(volume: Path, points: Points, folder: Path) -> Iterator[ScatteredPoints]:
    """A driver for as long as the block runs."""
    np.save(folder / "points.npy", points)
    words = [str(PYTHON), str(ROOT / "bench/points_driver.py"), f"file://{volume}"]
    words += [str(folder / "points.npy"), str(folder / "labels.npy")]
    command = [*launch_prefix(SIGKILL), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield ScatteredPoints(process, folder / "labels.npy")
        finally:
            process.kill()


def measure(rows: int, rounds: int, folder: Path) -> Iterator[Figure]:
    """Look up so many points, uniform over the volume. Raises Skipped where the volume or the library is absent."""
    if not EM512.is_dir():
        raise Skipped(f"the volume {EM512.name} is not beside the checkout")
    if not PYTHON.exists():
        raise Skipped("there is no .venv-cloudvolume; scripts/setup-clients.sh cloudvolume makes it")
    about = json.loads((EM512 / "about.json").read_text())
    volume, resolution = EM512 / "segmentation", tuple(float(size) for size in about["resolution_nm"])
    points = np.random.default_rng(1).integers(0, about["shape"], (rows, 3))
    ours = TensorStoreSegmentation(VolumeSource(f"file://{volume}"))
    sample = np.unique(points[:SAMPLE], axis=0)
    known = ours.supervoxels(sample, resolution).ids
    with scattered_points(volume, sample, folder) as theirs:
        for _ in range(rounds):
            seconds, cpu = theirs.look_up()
            cost = spent(lambda: ours.supervoxels(points, resolution))
            if not np.array_equal(known, theirs.labels()):
                raise RuntimeError("the supervoxels are not those that cloud-volume finds")
            scale = rows / len(sample)
            yield Figure(
                PART,
                rows,
                cost.seconds,
                seconds * scale,
                floor_cpu=cpu * scale,
                client_cpu=cost.cpu,
                peak_mb=cost.peak_mb,
            )
