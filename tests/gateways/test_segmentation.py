"""Supervoxel look-ups, compared with the arrays that the volumes were written from."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materializationengine.domain.errors import (
    BadCoordinates,
    BadRequest,
    GatewayUnavailable,
    VolumeUnreadable,
)
from materializationengine.domain.ports import Reason
from materializationengine.gateways import segmentation
from materializationengine.gateways.chunkedgraph import VolumeSource
from materializationengine.gateways.segmentation import TensorStoreSegmentation, open_segmentation

from .servers import Answer, GoogleStorage, files_of
from .volumes import RESOLUTION, Volume, write_volume

OFFSET = (10, -20, 30)


@pytest.fixture(scope="module")
def volume(tmp_path_factory) -> Volume:
    return write_volume(tmp_path_factory.mktemp("volume") / "seg", "compressed_segmentation", OFFSET)


def scattered(volume: Volume, count: int = 2000, margin: int = 6, seed: int = 1) -> np.ndarray:
    """Voxels in and around a volume."""
    low = np.array(volume.offset) - margin
    high = np.array(volume.offset) + volume.labels.shape + margin
    return np.random.default_rng(seed).integers(low, high, (count, 3))


def check(volume: Volume, found, voxels: np.ndarray) -> None:
    ids, inside = volume.at(voxels)
    np.testing.assert_array_equal(found.ids, ids)
    reason = np.where(inside, np.where(ids == 0, Reason.BACKGROUND, Reason.FOUND), Reason.OUTSIDE)
    np.testing.assert_array_equal(found.reason, reason)
    assert (found.ids.dtype, found.reason.dtype) == (np.int64, np.uint8)


@pytest.mark.parametrize(
    ("encoding", "sharded", "offset"),
    list(itertools.product(["raw", "compressed_segmentation"], [False, True], [(0, 0, 0), OFFSET])),
)
def test_every_format(tmp_path, encoding, sharded, offset):
    volume = write_volume(tmp_path / "seg", encoding, offset, sharded=sharded)
    voxels = scattered(volume)
    check(volume, open_segmentation(volume.url).supervoxels(voxels.astype(float), RESOLUTION), voxels)


@pytest.mark.parametrize("prefix", ["", "file://", "precomputed://file://"])
def test_spellings_of_a_local_volume(tmp_path, prefix):
    volume = write_volume(tmp_path / "100% odd?#")
    voxels = scattered(volume, 50)
    check(
        volume,
        open_segmentation(f"{prefix}{volume.path}/").supervoxels(voxels.astype(float), RESOLUTION),
        voxels,
    )


def test_32_bit_volumes(tmp_path):
    volume = write_volume(tmp_path / "seg", dtype="uint32")
    voxels = scattered(volume, 200)
    check(volume, open_segmentation(volume.url).supervoxels(voxels.astype(float), RESOLUTION), voxels)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(*[st.floats(-400, 3000, allow_nan=False, width=32) for _ in range(3)]),
        min_size=0,
        max_size=30,
    ),
    st.sampled_from([(8.0, 8.0, 40.0), (4.0, 4.0, 40.0), (1.0, 1.0, 1.0), (16.0, 16.0, 20.0), (3.2, 1.6, 0.1)]),
)
def test_points_in_other_units(volume, points, units):
    """A point belongs to the voxel that exact arithmetic puts it in."""
    ratios = [Fraction(str(u)) / Fraction(str(r)) for u, r in zip(units, RESOLUTION, strict=True)]
    exact = [[math.floor(Fraction(p) * r) for p, r in zip(point, ratios, strict=True)] for point in points]
    positions = np.array(points, dtype=np.float64).reshape(-1, 3)
    found = open_segmentation(volume.url).supervoxels(positions, units)
    check(volume, found, np.array(exact, dtype=np.int64).reshape(-1, 3))


def test_whole_numbers_and_halves_fall_into_their_voxel(volume):
    reader = open_segmentation(volume.url)
    at = np.array([[12, -18, 33]])
    whole = reader.supervoxels(at, RESOLUTION).ids
    np.testing.assert_array_equal(reader.supervoxels(at + 0.999, RESOLUTION).ids, whole)
    np.testing.assert_array_equal(reader.supervoxels(at * np.array([8, 8, 40]), (1, 1, 1)).ids, whole)
    below = reader.supervoxels(np.array([[9.999, -18, 33]]), RESOLUTION)
    assert below.reason.tolist() == [Reason.OUTSIDE]


def test_no_points(volume):
    found = open_segmentation(volume.url).supervoxels(np.zeros((0, 3)), RESOLUTION)
    assert (len(found.ids), len(found.reason)) == (0, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**31, -(2.0**40), 1e300])
def test_bad_coordinates_name_the_row(volume, bad):
    points = np.full((5, 3), 20.0)
    points[3, 1] = bad
    with pytest.raises(BadCoordinates, match=r"^point 3 of 5 is at \[20\.0, .*finite and below 2\^31") as caught:
        open_segmentation(volume.url).supervoxels(points, RESOLUTION)
    assert caught.value.details["row"] == 3


@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 3, 1)])
def test_points_of_another_shape(volume, shape):
    with pytest.raises(BadCoordinates, match=r"shape \(n, 3\)"):
        open_segmentation(volume.url).supervoxels(np.zeros(shape), RESOLUTION)


@pytest.mark.parametrize("units", [(0, 8, 40), (-8, 8, 40), (np.nan, 8, 40), (np.inf, 8, 40)])
def test_units_that_are_none(volume, units):
    with pytest.raises(BadCoordinates, match="both must be positive"):
        open_segmentation(volume.url).supervoxels(np.zeros((1, 3)), units)


def test_a_second_scale(tmp_path):
    fine = write_volume(tmp_path / "seg")
    coarse = write_volume(tmp_path / "coarse", shape=(20, 18, 10), seed=3)
    info = json.loads((fine.path / "info").read_text())
    scale = json.loads((coarse.path / "info").read_text())["scales"][0]
    info["scales"].append({**scale, "key": "../coarse/8_8_40", "resolution": [16, 16, 80]})
    (fine.path / "info").write_text(json.dumps(info))
    reader = TensorStoreSegmentation(VolumeSource(fine.url, 1))
    voxels = scattered(coarse, 300)
    check(coarse, reader.supervoxels(voxels.astype(float), (16, 16, 80)), voxels)
    assert reader.resolution == (16, 16, 80)
    with pytest.raises(VolumeUnreadable, match=r"\(mip 2\) cannot be read"):
        TensorStoreSegmentation(VolumeSource(fine.url, 2)).supervoxels(np.zeros((1, 3)), RESOLUTION)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize(
    ("setting", "reason"), [("unresolved", Reason.MISSING_CHUNK), ("background", Reason.BACKGROUND)]
)
def test_a_missing_chunk_concerns_its_own_points_only(tmp_path, sharded, setting, reason):
    volume = write_volume(tmp_path / "seg", offset=OFFSET, sharded=sharded)
    reader = open_segmentation(volume.url, missing_chunks=setting)
    voxels = scattered(volume, margin=0)
    before = reader.supervoxels(voxels.astype(float), RESOLUTION)
    gone = volume.path / "8_8_40" / "0.shard" if sharded else volume.chunk_file((12, -18, 33))
    gone.unlink()
    after = reader.supervoxels(voxels.astype(float), RESOLUTION)
    changed = after.ids != before.ids
    assert 0 < changed.sum() < len(voxels)
    assert set(after.reason[changed]) == {reason}
    assert not after.ids[changed].any()
    if not sharded:
        in_chunk = ((voxels - OFFSET) // volume.chunk == 0).all(axis=1)
        assert set(after.reason[in_chunk]) == {reason}
        np.testing.assert_array_equal(after.reason[~in_chunk], before.reason[~in_chunk])


@pytest.mark.parametrize("suffix", [".gz", ".br"])
def test_chunks_under_compressed_names_are_refused_at_once(tmp_path, suffix):
    volume = write_volume(tmp_path / "seg")
    for chunk in (volume.path / "8_8_40").iterdir():
        chunk.rename(f"{chunk}{suffix}")
    with pytest.raises(VolumeUnreadable, match=rf"named with \{suffix}, .*compress=False"):
        open_segmentation(volume.url, missing_chunks="background").supervoxels(np.zeros((1, 3)), RESOLUTION)


def test_one_chunk_under_a_compressed_name_is_refused_when_met(tmp_path):
    volume = write_volume(tmp_path / "seg")
    reader = open_segmentation(volume.url, missing_chunks="background")
    assert reader.resolution == RESOLUTION
    chunk = volume.chunk_file((39, 35, 19))
    chunk.rename(f"{chunk}.gz")
    with pytest.raises(VolumeUnreadable, match=r"named with \.gz"):
        reader.supervoxels(np.array([[39, 35, 19], [1, 1, 1]]), RESOLUTION)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (None, "does not exist"),
        ("", "Invalid JSON"),
        ("{}", "is missing"),
        ('{"scales": []}', "cannot be read"),
    ],
)
def test_a_volume_without_a_usable_info(tmp_path, info, said):
    if info is not None:
        (tmp_path / "info").write_text(info)
    with pytest.raises(VolumeUnreadable, match=f"the volume file://{tmp_path} .*{said}"):
        open_segmentation(f"file://{tmp_path}").supervoxels(np.zeros((1, 3)), RESOLUTION)


@pytest.mark.parametrize("change", [{"data_type": "float32"}, {"num_channels": 3}])
def test_a_volume_that_is_no_segmentation(tmp_path, change):
    volume = write_volume(tmp_path / "seg")
    info = json.loads((volume.path / "info").read_text())
    info["scales"][0]["encoding"] = "raw"
    (volume.path / "info").write_text(json.dumps({**info, **change}))
    with pytest.raises(VolumeUnreadable, match="a segmentation holds one whole number"):
        open_segmentation(volume.url).supervoxels(np.zeros((1, 3)), RESOLUTION)


def test_a_damaged_chunk(tmp_path):
    volume = write_volume(tmp_path / "seg")
    reader = open_segmentation(volume.url)
    assert reader.resolution == RESOLUTION
    volume.chunk_file((1, 1, 1)).write_bytes(b"short")
    with pytest.raises(VolumeUnreadable, match="cannot be read"):
        reader.supervoxels(np.array([[1, 1, 1]]), RESOLUTION)


def test_ids_that_do_not_fit(tmp_path):
    volume = write_volume(tmp_path / "seg")
    chunk = volume.chunk_file((1, 1, 1))
    chunk.write_bytes(b"\xff" * chunk.stat().st_size)
    with pytest.raises(VolumeUnreadable, match=r"2\^63"):
        open_segmentation(volume.url).supervoxels(np.array([[1, 1, 1]]), RESOLUTION)


@pytest.mark.parametrize("source", ["s3://bucket/seg", "middleauth+https://x/y", "seg"])
def test_addresses_that_cannot_be_read(source):
    with pytest.raises(VolumeUnreadable, match="not at file://"):
        open_segmentation(source).supervoxels(np.zeros((1, 3)), RESOLUTION)


class _Graph:
    def __init__(self, source: VolumeSource) -> None:
        self._source = source

    def data_source(self) -> VolumeSource:
        return self._source


def test_a_graphene_source_is_found_through_its_graph(volume):
    source = "graphene://https://localhost/segmentation/table/mini_pcg"
    reader = open_segmentation(source, _Graph(VolumeSource(volume.url, 0)))
    voxels = scattered(volume, 100)
    check(volume, reader.supervoxels(voxels.astype(float), RESOLUTION), voxels)
    with pytest.raises(BadRequest, match="names a chunkedgraph"):
        open_segmentation(source)


# Over HTTP


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Give up on a store soon."""
    retries = {"max_retries": 2, "initial_delay": "10ms", "max_delay": "20ms"}
    monkeypatch.setattr(segmentation, "RETRIES", retries)


@pytest.mark.parametrize("sharded", [False, True])
def test_http(tmp_path, serve, sharded):
    volume = write_volume(tmp_path / "seg", "compressed_segmentation", OFFSET, sharded=sharded)
    server = serve(files_of(tmp_path))
    voxels = scattered(volume)
    check(volume, open_segmentation(server.url + "/seg").supervoxels(voxels.astype(float), RESOLUTION), voxels)


def test_each_chunk_is_fetched_once(tmp_path, serve):
    volume = write_volume(tmp_path / "seg")
    server = serve(files_of(tmp_path))
    reader = open_segmentation(f"precomputed://{server.url}/seg")
    assert reader.resolution == RESOLUTION
    server.requests.clear()
    voxels = np.random.default_rng(0).permutation(np.argwhere(volume.labels >= 0))
    check(volume, reader.supervoxels(voxels.astype(float), RESOLUTION), voxels)
    fetched = [r.path for r in server.requests]
    assert len(fetched) == len(set(fetched)) == 3 * 3 * 3


def test_a_missing_chunk_over_http(tmp_path, serve):
    volume = write_volume(tmp_path / "seg")
    volume.chunk_file((1, 1, 1)).unlink()
    found = open_segmentation(serve(files_of(tmp_path)).url + "/seg").supervoxels(
        np.array([[1, 1, 1], [39, 35, 19]]), RESOLUTION
    )
    assert found.reason[0] == Reason.MISSING_CHUNK
    assert found.reason[1] != Reason.MISSING_CHUNK


@pytest.mark.parametrize("status", [403, 401, 500])
@pytest.mark.usefixtures("impatient")
def test_a_store_that_refuses(tmp_path, serve, status):
    write_volume(tmp_path / "seg")
    server = serve(files_of(tmp_path))
    server.always = Answer(status)
    with pytest.raises(VolumeUnreadable, match=rf"{server.url}/seg .*HTTP code {status}"):
        open_segmentation(server.url + "/seg").supervoxels(np.zeros((1, 3)), RESOLUTION)


@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_down(tmp_path, serve, closed_port):
    write_volume(tmp_path / "seg")
    server = serve(files_of(tmp_path))
    reader = open_segmentation(server.url + "/seg")
    assert reader.resolution == RESOLUTION
    server.always = Answer(503)
    for source in (reader, open_segmentation(closed_port + "/seg")):
        with pytest.raises(GatewayUnavailable, match="does not answer"):
            source.supervoxels(np.zeros((1, 3)), RESOLUTION)


def test_a_store_that_hangs(serve):
    server = serve(lambda request: Answer(200, delay=60))
    with pytest.raises(GatewayUnavailable, match="does not answer: timeout"):
        open_segmentation(server.url + "/seg", timeout=0.3).supervoxels(np.zeros((1, 3)), RESOLUTION)


def test_a_passing_outage(tmp_path, serve):
    volume = write_volume(tmp_path / "seg")
    server = serve(files_of(tmp_path))
    server.faults.extend([Answer(503), Answer(502)])
    voxels = scattered(volume, 20)
    check(volume, open_segmentation(server.url + "/seg").supervoxels(voxels.astype(float), RESOLUTION), voxels)


_BUCKET_SCRIPT = """
import sys, numpy as np
from materializationengine.gateways.segmentation import open_segmentation
found = open_segmentation("gs://lab/seg").supervoxels(np.load(sys.argv[1]).astype(float), (8.0, 8.0, 40.0))
np.save(sys.argv[2], np.stack([found.ids, found.reason.astype(np.int64)]))
"""


def test_a_bucket(tmp_path, serve):
    """In a process of its own: TensorStore reads the storage server's address from the environment."""
    volume = write_volume(tmp_path / "bucket" / "seg", "compressed_segmentation", OFFSET)
    server = serve(GoogleStorage("lab", tmp_path / "bucket"))
    voxels = scattered(volume, 200)
    np.save(tmp_path / "voxels.npy", voxels)
    environment = {**os.environ, "TENSORSTORE_GCS_HTTP_URL": server.url, "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x"}
    arguments = [str(tmp_path / "voxels.npy"), str(tmp_path / "found.npy")]
    subprocess.run([sys.executable, "-c", _BUCKET_SCRIPT, *arguments], env=environment, check=True, timeout=60)
    ids, _ = volume.at(voxels)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy")[0], ids)
    assert server.requests


# At scale


def test_the_real_volume(em512: Path):
    """All 80,000 synapse ends of the example world have the supervoxel that its truth file says."""
    reader = open_segmentation(f"file://{em512}/segmentation")
    truth = np.load(em512 / "truth/supervoxels.npy").astype(np.int64)
    for column, name in enumerate(("presyn_coords", "postsyn_coords")):
        points = np.load(em512 / f"annotations/synapses/{name}.npy")
        found = reader.supervoxels(points.astype(float), (16, 16, 40))
        np.testing.assert_array_equal(found.ids, truth[:, column])
        np.testing.assert_array_equal(found.reason == Reason.BACKGROUND, truth[:, column] == 0)
        nanometers = points.astype(float) * (16, 16, 40)
        np.testing.assert_array_equal(reader.supervoxels(nanometers, (1, 1, 1)).ids, truth[:, column])


def test_chunks_in_memory_are_bounded(volume, monkeypatch):
    """Never more chunks at once than the limit allows, and the same answer."""
    asked: list[int] = []
    read = segmentation._Volume.read

    def counted(self, chunks, timeout):
        asked.append(len(chunks))
        return read(self, chunks, timeout)

    monkeypatch.setattr(segmentation._Volume, "read", counted)
    monkeypatch.setattr(segmentation, "BYTES_IN_FLIGHT", 4 * 16 * 16 * 8 * 8)
    voxels = scattered(volume)
    check(volume, open_segmentation(volume.url).supervoxels(voxels.astype(float), RESOLUTION), voxels)
    assert max(asked) == 4
    assert sum(asked) == 27 + 1, "27 chunks, and one at opening"


_FORK_SCRIPT = """
import multiprocessing, sys
import numpy as np
from materializationengine.gateways.segmentation import open_segmentation

reader, point = open_segmentation(sys.argv[1]), np.array([[12.0, -18.0, 33.0]])

def look_up():
    return reader.supervoxels(point, (8.0, 8.0, 40.0)).ids.tolist()

def child(queue):
    try:
        queue.put(look_up())
    except RuntimeError as error:
        queue.put(str(error))

if sys.argv[2] == "open":
    look_up()
context = multiprocessing.get_context("fork")
queues = [context.Queue() for _ in range(2)]
for queue in queues:
    context.Process(target=child, args=(queue,)).start()
print([queue.get(timeout=20) for queue in queues])
"""


def forked(volume: Volume, parent: str) -> str:
    """What two forked processes say. A fresh process forks them: this one has used TensorStore."""
    command = [sys.executable, "-c", _FORK_SCRIPT, volume.url, parent]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_an_instance_made_before_a_fork_opens_after_it(volume):
    ids, _ = volume.at(np.array([[12, -18, 33]]))
    assert forked(volume, "wait") == str([ids.tolist()] * 2)


def test_a_volume_opened_before_a_fork_is_an_error_instead_of_a_crash(volume):
    assert forked(volume, "open").count("make the first look-up after the fork") == 2
