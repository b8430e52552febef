"""Made worlds keep to the format of the example world, and their truth is true of their files."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import tensorstore
from click.testing import CliRunner
from scipy import ndimage

from localcave.__main__ import main
from localcave.world import make

from .conftest import ROOT
from .replay import objects_at, same_partition


def volume_of(world: Path) -> np.ndarray:
    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{world}/segmentation/"}}
    return tensorstore.open(spec).result()[..., 0].read().result()


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(str(f.relative_to(folder)).encode() + f.read_bytes() for f in files)).hexdigest()


def names_in(world: Path) -> set[str]:
    """Return the files of a world but for the chunks of its volume."""
    files = (path for path in world.rglob("*") if path.is_file() and path.parent.name != "16_16_40")
    return {str(path.relative_to(world)) for path in files}


def test_equal_seeds_give_equal_worlds(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make(tmp_path / name, seed=seed, size=64, synapses=200)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_same_files_columns_and_types_as_the_example(world: Path, em512: Path) -> None:
    names = {
        str(path.relative_to(em512)) for path in em512.rglob("*") if path.is_file() and "16_16_40" not in str(path)
    }
    ours = {str(path.relative_to(world)) for path in world.rglob("*") if path.is_file() and "16_16_40" not in str(path)}
    assert ours == names - {"labels.ckl.gz"}
    for name in (name for name in ours if name.endswith(".npy")):
        made, real = np.load(world / name), np.load(em512 / name)
        assert (made.dtype, made.shape[1:], made.flags.c_contiguous) == (real.dtype, real.shape[1:], True), name
    for name in ("annotations/nuclei.csv", "annotations/cell_types.csv"):
        assert (world / name).read_text().splitlines()[0] == (em512 / name).read_text().splitlines()[0]
    assert (
        json.loads((world / "about.json").read_text()).keys() == json.loads((em512 / "about.json").read_text()).keys()
    )
    info, real = (json.loads((folder / "segmentation/info").read_text()) for folder in (world, em512))
    assert info["scales"][0] | {"size": 0} == real["scales"][0] | {"size": 0}


def test_supervoxels_are_what_hangs_together_in_a_chunk(world: Path) -> None:
    volume = volume_of(world)
    ids = np.load(world / "graph/supervoxels.npy")
    assert np.unique(volume).tolist() == [0, *ids.tolist()]
    places = ndimage.find_objects(np.searchsorted(ids, volume) * (volume > 0) + (volume > 0))
    for identity, place in zip(ids.tolist(), places, strict=True):
        assert place is not None
        chunk = [identity >> shift & 1023 for shift in (46, 36, 26)]
        assert [(part.start // 64, (part.stop - 1) // 64) for part in place] == [(c, c) for c in chunk]
        assert ndimage.label(volume[place] == identity)[1] == 1


def test_edges_are_all_contacts_inside_objects(world: Path) -> None:
    volume = volume_of(world).astype(np.int64)
    owner = objects_at(world, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    counted: dict[tuple[int, int], int] = {}
    for axis in range(3):
        low = np.take(volume, range(127), axis).ravel()
        high = np.take(volume, range(1, 128), axis).ravel()
        touch = (low != high) & (low > 0) & (high > 0)
        pairs, counts = np.unique(np.sort(np.stack([low[touch], high[touch]], 1), axis=1), axis=0, return_counts=True)
        for (a, b), count in zip(pairs.tolist(), counts.tolist(), strict=True):
            if owner[a] == owner[b]:
                counted[a, b] = counted.get((a, b), 0) + count
    assert {(a, b): area for a, b, area in np.load(world / "graph/edges.npy").tolist()} == counted


def test_some_objects_have_parts_that_don_t_touch(world: Path) -> None:
    edges = np.load(world / "graph/edges.npy")
    touched = set(edges[:, :2].ravel().tolist())
    owners = objects_at(world, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    sizes = np.unique(list(owners.values()), return_counts=True)
    shared = dict(zip(*(column.tolist() for column in sizes), strict=True))
    assert any(shared[owners[one]] > 1 for one in owners if one not in touched)


def test_synapses_lie_where_two_objects_meet(world: Path) -> None:
    volume, annotations = volume_of(world), world / "annotations/synapses"
    pre, post, center = (np.load(annotations / f"{side}_coords.npy") for side in ("presyn", "postsyn", "center"))
    under = np.stack([volume[tuple(points.T)] for points in (pre, post)], axis=1)
    assert (under == np.load(world / "truth/supervoxels.npy")).all()
    lost = under[:, 1] == 0
    assert lost.sum() == 10  # half a per cent of 2000
    assert (np.abs(pre - post)[~lost].sum(axis=1) == 1).all()
    assert (center == (pre + post) // 2).all()
    objects = np.load(world / "truth/object_day00.npy")
    assert (objects[~lost, 0] != objects[~lost, 1]).all()
    assert (objects[lost, 1] == 0).all()
    assert (np.load(annotations / "id.npy") == np.arange(1, 2001)).all()


def test_truth_follows_from_the_edits(world: Path) -> None:
    ends = np.load(world / "truth/supervoxels.npy").ravel()
    about = json.loads((world / "about.json").read_text())
    created = datetime.fromisoformat(about["created"])
    states = []
    for day in about["check_days"]:
        owner = objects_at(world, created + timedelta(days=day)) | {0: 0}
        truth = np.load(world / f"truth/object_day{day:02}.npy").ravel()
        assert same_partition(np.array([owner[one] for one in ends.tolist()]), truth)
        states.append(truth.tobytes())
    assert len(set(states)) == len(states)


def test_history_has_merges_and_splits_in_time_order(world: Path) -> None:
    edits = [json.loads(line) for line in (world / "graph/edits.jsonl").read_text().splitlines()]
    assert {edit["type"] for edit in edits} == {"merge", "split"}
    moments = [datetime.fromisoformat(edit["timestamp"]) for edit in edits]
    assert moments == sorted(set(moments))
    assert timedelta(0) < moments[0] - datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    assert moments[-1] < datetime.fromisoformat("2026-03-02T00:00:00+00:00")
    assert [edit["operation_id"] for edit in edits] == list(range(1, len(edits) + 1))


def test_nuclei_lie_in_different_objects(world: Path) -> None:
    with (world / "annotations/nuclei.csv").open() as file:
        rows = list(csv.DictReader(file))
    points = np.array([[int(row[f"pt_position_{axis}"]) for axis in "xyz"] for row in rows])
    owner = objects_at(world, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    owners = [owner[int(one)] for one in volume_of(world)[tuple(points.T)]]
    assert len(set(owners)) == len(rows) > 5


def test_command_line_refuses_what_cannot_be(tmp_path: Path) -> None:
    made = CliRunner().invoke(
        main, ["world", "make", "--seed", "1", "--size", "64", "--synapses", "9", str(tmp_path / "w")]
    )
    assert json.loads(made.output)["synapses"] == 9
    again = CliRunner().invoke(main, ["world", "make", "--seed", "1", str(tmp_path / "w")])
    assert (again.exit_code, "is not empty" in again.output) == (2, True)
    odd = CliRunner().invoke(main, ["world", "make", "--seed", "1", "--size", "65", str(tmp_path / "v")])
    assert (odd.exit_code, "must be even" in odd.output) == (2, True)


@pytest.mark.parametrize("size", [100, 192])
def test_sizes_that_are_no_power_of_two_chunks(tmp_path: Path, size: int) -> None:
    make(tmp_path / "w", seed=3, size=size, synapses=300)
    volume = volume_of(tmp_path / "w")
    assert volume.shape == (size,) * 3
    assert np.unique(volume).tolist() == [0, *np.load(tmp_path / "w/graph/supervoxels.npy").tolist()]


def test_a_world_is_made_in_little_memory(tmp_path: Path) -> None:
    """Twice the size needs eight times the voxels, but not eight times the memory."""
    script = (
        "import resource, sys; from pathlib import Path; from localcave.world import make;"
        "make(Path(sys.argv[1]), seed=1, size=int(sys.argv[2]), synapses=100);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)"
    )
    peaks = {}
    for size in (64, 256):
        command = [sys.executable, "-c", script, str(tmp_path / str(size)), str(size)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peaks[size] = int(done.stdout)
    assert peaks[256] - peaks[64] < 150  # megabytes; all arrays of that size as a whole took 300
