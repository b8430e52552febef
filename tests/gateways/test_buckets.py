"""Columns of `.npy` files, from a folder and from a bucket through the real gcsfs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from materializationengine.domain.errors import (
    BadUpload,
    CredentialsMissing,
    GatewayAnswer,
    GatewayUnavailable,
)
from materializationengine.domain.ports import ColumnFile
from materializationengine.gateways.access import GcsAccess
from materializationengine.gateways.buckets import NpyFolder, open_folder

from .servers import Answer, GoogleStorage, Loopback, google_error

BIG = 864691135850649637


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The seven columns of the bulk upload's own example."""
    path = tmp_path / "bucket" / "project" / "synapses"
    path.mkdir(parents=True)
    rng = np.random.default_rng(0)
    ids = rng.integers(BIG, BIG + 1000, (20, 2))
    np.save(path / "id.npy", np.arange(20))
    for name in ("presyn_coords", "center_coords", "postsyn_coords"):
        np.save(path / f"{name}.npy", rng.integers(0, 512, (20, 3)).astype(np.float32))
    np.save(path / "sizes.npy", rng.integers(0, 99, 20).astype(">u2"))
    np.save(path / "sv_ids_ordered.npy", np.asfortranarray(ids))
    np.save(path / "root_ids_order.npy", ids.astype(np.uint64))
    (path / "notes.txt").write_text("made by hand")
    (path / "older").mkdir()
    np.save(path / "older" / "id.npy", np.arange(3))
    return path


NAMES = (
    "center_coords.npy",
    "id.npy",
    "notes.txt",
    "postsyn_coords.npy",
    "presyn_coords.npy",
    "root_ids_order.npy",
    "sizes.npy",
    "sv_ids_ordered.npy",
)


class Reads:
    """Remembers which bytes were asked for."""

    def __init__(self, store) -> None:
        self._store = store
        self.ranges: list[tuple[int, int]] = []
        self.names, self.size = store.names, store.size

    def read(self, name: str, start: int, stop: int) -> bytes:
        self.ranges.append((start, stop))
        return self._store.read(name, start, stop)


def watched(path: Path) -> tuple[NpyFolder, Reads]:
    folder = open_folder(str(path))
    reads = Reads(folder._store)
    return NpyFolder(str(path), reads), reads


# A local folder


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_local_folder(folder, prefix):
    column = open_folder(f"{prefix}{folder}")
    assert column.list() == NAMES
    file = column.header("sv_ids_ordered.npy")
    assert file == ColumnFile("sv_ids_ordered.npy", (20, 2), "<i8", True, 128)
    assert (file.rows, file.width) == (20, 2)
    np.testing.assert_array_equal(column.rows(file, 5, 9), np.load(folder / "sv_ids_ordered.npy")[5:9])


def test_every_example_column(folder):
    columns = open_folder(str(folder))
    for name in NAMES:
        if name.endswith(".npy"):
            file = columns.header(name)
            batches = [columns.rows(file, start, min(start + 7, 20)) for start in range(0, 20, 7)]
            np.testing.assert_array_equal(np.concatenate(batches), np.load(folder / name))


DTYPES = st.one_of(
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.boolean_dtypes(),
    hnp.byte_string_dtypes(min_len=1, max_len=5),
    hnp.unicode_string_dtypes(endianness="?", min_len=1, max_len=5),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_column_by_any_rows(tmp_path, data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=9))
    array = data.draw(hnp.arrays(data.draw(DTYPES), shape))
    if data.draw(st.booleans()):
        array = np.asfortranarray(array)
    np.save(tmp_path / "column.npy", array)
    folder, reads = watched(tmp_path)
    file = folder.header("column.npy")
    start = data.draw(st.integers(0, file.rows))
    stop = data.draw(st.integers(start, file.rows))
    reads.ranges.clear()
    found = folder.rows(file, start, stop)
    np.testing.assert_array_equal(found, array[start:stop])
    assert found.dtype == array.dtype.newbyteorder("=")
    assert sum(b - a for a, b in reads.ranges) == array[start:stop].nbytes, "no byte more than was asked for"
    assert len(reads.ranges) <= (file.width if file.fortran_order else 1)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_both_header_versions(tmp_path, version):
    with (tmp_path / "a.npy").open("wb") as handle:
        np.lib.format.write_array(handle, np.arange(5), version=version)
    folder = open_folder(str(tmp_path))
    assert folder.rows(folder.header("a.npy"), 1, 3).tolist() == [1, 2]


def test_ids_stay_exact(tmp_path):
    np.save(tmp_path / "ids.npy", np.array([BIG, BIG + 1], dtype=np.uint64))
    folder = open_folder(str(tmp_path))
    assert folder.rows(folder.header("ids.npy"), 0, 2).tolist() == [BIG, BIG + 1]


@pytest.mark.parametrize("rows", [(-1, 3), (3, 2), (0, 21)])
def test_rows_that_are_not_there(folder, rows):
    columns = open_folder(str(folder))
    with pytest.raises(ValueError, match=r"id\.npy, which has 20"):
        columns.rows(columns.header("id.npy"), *rows)


def structured() -> np.ndarray:
    return np.zeros(3, dtype=[("a", "<i8"), ("b", "<f4")])


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([{"a": 1}, None], dtype=object), "pickled Python objects; save it with"),
        (structured(), "records of the fields a, b; save each"),
        (np.zeros(3, dtype=complex), "holds complex128; whole numbers"),
        (np.zeros(3, dtype="datetime64[us]"), "holds datetime64"),
        (np.array(5), r"has shape \(\); one value a row"),
        (np.zeros((2, 2, 2)), r"has shape \(2, 2, 2\)"),
    ],
)
def test_arrays_that_are_no_column(tmp_path, array, said):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(BadUpload, match=f"^file bad.npy in {tmp_path} .*{said}") as caught:
        open_folder(str(tmp_path)).header("bad.npy")
    assert caught.value.details["file"] == "bad.npy"


@pytest.mark.parametrize(
    "content",
    [b"", b"id,size\n1,2\n", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x09\x00" + b"\0" * 99, b"PK\x03\x04"],
)
def test_files_that_are_no_npy(tmp_path, content):
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(BadUpload, match=r"file bad\.npy .* is not a \.npy file .*write it with numpy\.save"):
        open_folder(str(tmp_path)).header("bad.npy")


def test_a_file_cut_off(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(1000))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-1])
    with pytest.raises(
        BadUpload, match=r"cut off: shape \(1000,\) of <i8 needs 8128 bytes, there are 8127; copy it again"
    ):
        open_folder(str(tmp_path)).header("a.npy")


def test_a_file_cut_off_while_it_is_read(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(1000))
    folder = open_folder(str(tmp_path))
    file = folder.header("a.npy")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:4000])
    assert folder.rows(file, 0, 100)[-1] == 99
    with pytest.raises(BadUpload, match="became shorter while it was read: no bytes from 4000 on"):
        folder.rows(file, 400, 600)


def test_a_missing_file_names_the_nearest(folder):
    with pytest.raises(BadUpload, match=r"root_ids_ordered\.npy .* did you mean root_ids_order\.npy\?"):
        open_folder(str(folder)).header("root_ids_ordered.npy")
    with pytest.raises(BadUpload, match=r"zzz\.npy in .* does not exist; the folder holds center_coords\.npy, id"):
        open_folder(str(folder)).header("zzz.npy")
    with pytest.raises(BadUpload, match=r"the folder holds no \.npy file"):
        open_folder(str(folder.parent)).header("zzz.npy")


@pytest.mark.parametrize("name", ["../secret.npy", "older/id.npy"])
def test_only_files_of_this_folder(folder, name):
    with pytest.raises(BadUpload, match="lies in another folder"):
        open_folder(str(folder)).header(name)


def test_a_folder_for_a_file(folder):
    with pytest.raises(BadUpload, match="older"):
        open_folder(str(folder)).header("older")


def test_folders_that_are_none(folder, tmp_path):
    for path in (tmp_path / "nowhere", folder / "id.npy"):
        with pytest.raises(BadUpload, match=f"there is no folder {path}"):
            open_folder(str(path)).list()
    for url in ("s3://bucket/a", "https://host/a"):
        with pytest.raises(BadUpload, match=f"cannot read {url}: give a local path, file:// or gs://"):
            open_folder(url)


# A bucket


@pytest.fixture
def storage(folder: Path, serve) -> Loopback:
    return serve(GoogleStorage("lab", folder.parents[1]))


@pytest.fixture
def bucket(storage: Loopback) -> Callable[..., NpyFolder]:
    def opened(path: str = "project/synapses", **access: object) -> NpyFolder:
        return open_folder(f"gs://lab/{path}", GcsAccess(endpoint=storage.url, **access))

    return opened


def test_a_bucket(bucket, storage, folder):
    columns = bucket()
    assert columns.list() == NAMES, "over several pages, without the sub-folder"
    for name in NAMES:
        if name.endswith(".npy"):
            file = columns.header(name)
            assert file == open_folder(str(folder)).header(name)
            batches = [columns.rows(file, start, min(start + 7, 20)) for start in range(0, 20, 7)]
            np.testing.assert_array_equal(np.concatenate(batches), np.load(folder / name))


@pytest.mark.parametrize(
    ("order", "ranges"),
    [("C", ["bytes=6128-6151"]), ("F", ["bytes=2128-2135", "bytes=10128-10135", "bytes=18128-18135"])],
)
def test_a_bucket_is_read_by_ranges(bucket, storage, folder, order, ranges):
    np.save(folder / "wide.npy", np.asarray(np.arange(3000).reshape(1000, 3), order=order))
    columns = bucket()
    file = columns.header("wide.npy")
    storage.requests.clear()
    assert columns.rows(file, 250, 251).tolist() == [[750, 751, 752]]
    assert [r.headers.get("range") for r in storage.requests] == ranges


def test_a_header_costs_two_requests(bucket, storage):
    bucket().header("id.npy")
    assert [(r.path.startswith("/download"), r.query) for r in storage.requests] == [
        (True, {"alt": "media"}),
        (False, {}),
    ]


def test_a_file_made_later_is_seen(bucket, folder):
    columns = bucket()
    columns.list()
    np.save(folder / "new.npy", np.arange(3))
    assert "new.npy" in columns.list()
    assert columns.header("new.npy").rows == 3


def test_a_bucket_without_that_file_or_folder(bucket, storage):
    with pytest.raises(BadUpload, match=r"did you mean root_ids_order\.npy\?"):
        bucket().header("root_ids_ordered.npy")
    with pytest.raises(BadUpload, match="there is no folder gs://lab/elsewhere"):
        bucket("elsewhere").list()
    with pytest.raises(BadUpload, match="there is no folder gs://other/a"):
        open_folder("gs://other/a", GcsAccess(endpoint=storage.url)).list()


def test_a_passing_outage(bucket, storage):
    storage.faults.append(google_error(503, "Backend Error"))
    assert bucket().list() == NAMES


def test_a_bucket_that_is_down(bucket, storage):
    columns = bucket()
    file = columns.header("id.npy")
    storage.always = google_error(503, "Backend Error")
    with pytest.raises(
        GatewayUnavailable, match=r"storage service of gs://lab/project/synapses does not answer \(503\)"
    ):
        columns.rows(file, 0, 20)


def test_a_bucket_nobody_serves(closed_port):
    with pytest.raises(GatewayUnavailable, match=r"gs://lab/a does not answer \(ClientConnectorError\)"):
        open_folder("gs://lab/a", GcsAccess(endpoint=closed_port)).list()


def test_a_bucket_that_hangs(bucket, storage):
    storage.always = Answer(200, delay=60)
    with pytest.raises(GatewayUnavailable, match="does not answer"):
        bucket(timeout=0.2).list()


@pytest.mark.parametrize("status", [401, 403])
def test_a_bucket_that_refuses(bucket, storage, status):
    columns = bucket()
    file = columns.header("id.npy")
    storage.always = google_error(status, "Anonymous caller does not have storage.objects.get access.")
    for ask in (columns.list, lambda: columns.header("id.npy"), lambda: columns.rows(file, 0, 20)):
        with pytest.raises(CredentialsMissing, match=r"with these credentials.*set GOOGLE_APPLICATION_CREDENTIALS"):
            ask()


def test_a_server_that_ignores_ranges(bucket, storage, folder):
    columns = bucket()
    file = columns.header("id.npy")
    storage.always = Answer(200, (folder / "id.npy").read_bytes())
    with pytest.raises(GatewayAnswer, match=r"asked for 16 bytes of id\.npy, got 288"):
        columns.rows(file, 2, 4)


# Credentials


@pytest.fixture
def key(tmp_path: Path, storage: Loopback) -> Path:
    """A service account whose tokens the storage server itself hands out."""
    storage.answer.wanted_token = "granted"
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "lab",
        "private_key_id": "1",
        "private_key": private.decode(),
    }
    account |= {"client_email": "reader@lab.org", "client_id": "2", "token_uri": f"{storage.url}/token"}
    path = tmp_path / "key.json"
    path.write_text(json.dumps(account))
    return path


def test_a_service_account(bucket, key, storage):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        columns = bucket(credentials_file=str(key))
    assert columns.list() == NAMES
    assert columns.rows(columns.header("id.npy"), 0, 3).tolist() == [0, 1, 2]
    assert "reader" not in repr([r.headers for r in storage.requests if r.path != "/token"])


def test_a_token_that_is_not_accepted(bucket, key, storage):
    columns = bucket(credentials_file=str(key))
    storage.always = google_error(401, "Invalid Credentials")
    with pytest.raises(CredentialsMissing, match="set GOOGLE_APPLICATION_CREDENTIALS"):
        columns.list()


@pytest.mark.parametrize("content", [None, "", "{}", '{"type": "service_account"}'])
def test_a_credentials_file_that_holds_none(tmp_path, content):
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CredentialsMissing, match=r"key\.json holds none .*set GOOGLE_APPLICATION_CREDENTIALS"):
        open_folder("gs://lab/a", GcsAccess(credentials_file=str(path)))


def test_no_credentials_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(CredentialsMissing, match=r"there are none .*set GOOGLE_APPLICATION_CREDENTIALS"):
        open_folder("gs://lab/a")
