"""Worlds from label volumes: supervoxels, edges and contacts against a slow look at every voxel."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorstore
from click.testing import CliRunner
from scipy import ndimage

from localcave.__main__ import main
from localcave.making.labels import Cut, make, read
from localcave.times import to_datetime

from .conftest import Server, Starter
from .test_world import volume_of

BIRTH = to_datetime(1767225600000)


def labels_of(seed: int, shape: tuple[int, int, int] = (70, 40, 33)) -> np.ndarray:
    """Return blobs with large ids between 0s, cut so that some labels fall into parts that don't touch."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.random(shape), 3)
    blobs = np.digitize(noise, np.quantile(noise, [0.2, 0.4, 0.6, 0.8]))
    names = np.array([0, 2**40 + 7, 5, 2**31, 99], np.uint64)
    return names[blobs]


def pieces_by_hand(labels: np.ndarray, chunk: int, block: int | None) -> np.ndarray:
    """Return a number for each voxel's supervoxel, from labeling each value of each part alone."""
    found, count = np.zeros(labels.shape, np.int64), 0
    step = block or chunk
    for corner in itertools.product(*(range(0, size, step) for size in labels.shape)):
        here = tuple(slice(low, low + step) for low in corner)
        for value in np.unique(labels[here][labels[here] > 0]):
            marked, number = ndimage.label(labels[here] == value)
            found[here] += np.where(marked > 0, marked + count, 0)
            count += number
    return found


def touching_by_hand(volume: np.ndarray) -> Counter[tuple[int, int]]:
    found: Counter[tuple[int, int]] = Counter()
    for axis in range(3):
        length = volume.shape[axis] - 1
        low, high = (np.take(volume, range(start, start + length), axis) for start in (0, 1))
        apart = (low != high) & (low > 0) & (high > 0)
        found.update((min(pair), max(pair)) for pair in zip(low[apart].tolist(), high[apart].tolist(), strict=True))
    return found


@pytest.mark.parametrize(("block", "join"), [(None, False), (None, True), (16, False)])
def test_a_label_volume_becomes_a_world(tmp_path: Path, block: int | None, join: bool) -> None:
    labels = labels_of(1)
    figures = make(labels, tmp_path / "w", Cut((16, 16, 40), BIRTH, chunk=32, block=block, join=join))
    volume = volume_of(tmp_path / "w")
    by_hand = pieces_by_hand(labels, 32, block)
    pairs = set(zip(volume.ravel().tolist(), by_hand.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == figures.supervoxels + 1
    graph = tmp_path / "w/graph"
    ids = np.load(graph / "supervoxels.npy")
    assert np.unique(volume).tolist() == [0, *ids.tolist()]
    label = dict(zip(volume.ravel().tolist(), labels.ravel().tolist(), strict=True))
    touching = touching_by_hand(volume)
    edges = {(a, b): area for a, b, area in np.load(graph / "edges.npy").tolist()}
    contacts = {(a, b): area for a, b, area in np.load(graph / "contacts.npy").tolist()}
    assert edges == {pair: area for pair, area in touching.items() if label[pair[0]] == label[pair[1]]}
    assert contacts == {pair: area for pair, area in touching.items() if label[pair[0]] != label[pair[1]]}
    objects = np.load(graph / "initial_object.npy")
    assert figures.objects == len(np.unique(objects))
    if join:
        assert figures.objects == 4
    else:
        assert figures.objects == sum(ndimage.label(labels == one)[1] for one in np.unique(labels) if one)


def test_such_a_world_is_served_and_edited(start: Starter, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", labels_of(2))
    made = CliRunner().invoke(
        main, ["world", "cut", "--chunk", "32", "--block", "8", str(tmp_path / "labels.npy"), str(tmp_path / "w")]
    )
    assert made.exit_code == 0, made.output
    server: Server = start(tmp_path / "state")
    counts = server.admin("POST", "worlds", {"folder": str(tmp_path / "w"), "datastack": "cut"})
    assert counts["supervoxels"] == json.loads(made.output)["supervoxels"]
    assert counts["objects"] == json.loads(made.output)["objects"]
    touching = np.load(tmp_path / "w/graph/contacts.npy")
    a, b, _ = touching[touching[:, 2].argmax()].tolist()
    table = "/segmentation/api/v1/table/cut_pcg"
    volume = volume_of(tmp_path / "w")
    marks = [[one, *((np.argwhere(volume == one)[0] + 0.5) * (16, 16, 40)).tolist()] for one in (a, b)]
    number = server.call("POST", f"{table}/merge", json=marks).json()["operation_id"]
    details = server.call("GET", f"{table}/operation_details?operation_ids=[{number}]").json()[str(number)]
    assert [a, b] in [sorted(edge) for edge in details["added_edges"]]
    preview = server.call("POST", f"{table}/graph/split_preview", json={"sources": marks[:1], "sinks": marks[1:]})
    assert preview.status_code == 200
    server.stop()


def test_labels_are_read_from_a_precomputed_volume(tmp_path: Path) -> None:
    labels = labels_of(3)
    make(labels, tmp_path / "w", Cut((4, 4, 40), BIRTH, chunk=32))
    source = f"precomputed://file://{tmp_path}/w/segmentation/"
    assert (read(source) == volume_of(tmp_path / "w")).all()
    again = make(read(source), tmp_path / "again", Cut((4, 4, 40), BIRTH, chunk=32))
    assert again.supervoxels == len(np.load(tmp_path / "w/graph/supervoxels.npy"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--resolution", "16"], "not enough values"),
        (["--chunk", "32", "--block", "5"], "cannot be divided"),
        (["--created", "soon"], "no ISO 8601 date"),
    ],
)
def test_refusals(tmp_path: Path, options: list[str], words: str) -> None:
    np.save(tmp_path / "labels.npy", labels_of(2, (8, 8, 8)))
    done = CliRunner().invoke(main, ["world", "cut", *options, str(tmp_path / "labels.npy"), str(tmp_path / "w")])
    assert (done.exit_code, words in done.output) == (2, True), done.output
    np.save(tmp_path / "flat.npy", np.zeros((3, 3)))
    for source in (tmp_path / "flat.npy", tmp_path / "none.npy"):
        done = CliRunner().invoke(main, ["world", "cut", str(source), str(tmp_path / "w")])
        assert done.exit_code == 2


def test_a_corner_of_the_real_volume(em512: Path, tmp_path: Path) -> None:
    """Cut again from the labels, the example world's supervoxels come out as they are, corner for corner."""
    crackle = pytest.importorskip("crackle")
    labels = crackle.decompress(gzip.decompress((em512 / "labels.ckl.gz").read_bytes()))[:128, :128, :64]
    make(np.ascontiguousarray(labels), tmp_path / "w", Cut((16, 16, 40), BIRTH))
    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"file://{em512}/segmentation/"}
    theirs = tensorstore.open(spec).result()[:128, :128, :64, 0].read().result()
    ours = volume_of(tmp_path / "w")
    pairs = np.unique(np.stack([ours.ravel(), theirs.ravel()], axis=1), axis=0)
    assert len(pairs) == len(np.unique(pairs[:, 0])) == len(np.unique(pairs[:, 1]))
