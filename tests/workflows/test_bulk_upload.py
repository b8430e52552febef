"""Bulk upload as the manual describes it: mappings, orders, supplied ids, and files in a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from materializationengine.bootstrap import Services
from materializationengine.domain import errors
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.workflows.requests import UploadRequest
from tests.gateways.servers import GoogleStorage, serving
from tests.harness import Engine, ends
from tests.oracle import Oracle, same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
DAY = BIRTH + timedelta(days=20)

# The column mapping of the manual, word for word: it names a file that its list of files spells otherwise.
MANUAL_MAPPING = {
    "id": "id",
    "presyn_coords": "pre_pt_position",
    "center_coords": "ctr_pt_position",
    "postsyn_coords": "post_pt_position",
    "sizes": "size",
    "sv_ids_ordered": ["pre_pt_supervoxel_id", "post_pt_supervoxel_id"],
    "root_ids_ordered": ["pre_pt_root_id", "post_pt_root_id"],
}


@pytest.fixture
def manual(small_world: Path, engine: Engine, datastack: str, tmp_path: Path) -> Path:
    """The manual's seven files for a generated world: roots as they were at day 20."""
    engine.load(small_world, datastack)
    folder = tmp_path / "manual"
    folder.mkdir()
    source = small_world / "annotations/synapses"
    for name in ("id", "presyn_coords", "center_coords", "postsyn_coords", "sizes"):
        np.save(folder / f"{name}.npy", np.load(source / f"{name}.npy"))
    supervoxels = np.load(small_world / "truth/supervoxels.npy")
    graph = engine.services.graph(engine.services.datastacks.get(datastack))
    roots = np.stack([graph.roots(column.astype(np.int64), DAY).roots for column in supervoxels.T], axis=1)
    np.save(folder / "sv_ids_ordered.npy", supervoxels)
    np.save(folder / "root_ids_order.npy", roots.astype(np.uint64))
    return folder


def ask(folder: Path | str, mapping: dict[str, object] = MANUAL_MAPPING, **fields: object) -> UploadRequest:
    return UploadRequest("synapses", "synapse", str(folder), mapping, created=BIRTH, **fields)  # type: ignore[arg-type]


def corrected(suffix: str = "") -> dict[str, object]:
    """The manual's mapping with the file's name as the list has it, keys with or without `.npy`."""
    mapping = {**MANUAL_MAPPING, "root_ids_order": MANUAL_MAPPING["root_ids_ordered"]}
    del mapping["root_ids_ordered"]
    return {key + suffix: value for key, value in mapping.items()}


def test_the_manuals_own_example_names_the_file_that_is_meant(engine: Engine, datastack: str, manual: Path) -> None:
    with pytest.raises(errors.BadUpload, match=r"no file root_ids_ordered\.npy; the nearest is root_ids_order\.npy"):
        engine.attempt(RunKind.BULK_UPLOAD, datastack, upload=ask(manual))


@pytest.mark.parametrize("suffix", ["", ".npy"])
def test_supplied_roots_count_with_their_moment(
    engine: Engine, datastack: str, manual: Path, suffix: str, small_world: Path
) -> None:
    engine.run(RunKind.BULK_UPLOAD, datastack, upload=ask(manual, corrected(suffix), roots_as_of=DAY))
    ingest = engine.run(RunKind.INGEST, datastack)
    assert ingest.steps[1].units == 0, "nothing was left to look up"
    version = engine.run(RunKind.FREEZE, datastack, as_of=DAY).version
    rows = engine.frozen(datastack, version)
    assert np.array_equal(ends(rows, "root_id"), np.load(manual / "root_ids_order.npy").astype(np.int64))
    oracle = Oracle(small_world)
    later = engine.run(RunKind.COMPLETE, datastack, as_of=BIRTH + timedelta(days=61))
    rows = engine.frozen(datastack, later.version)
    expected = oracle.objects_of(ends(rows, "supervoxel_id"), BIRTH + timedelta(days=61))
    assert same_partition(ends(rows, "root_id"), expected)


def test_supplied_roots_without_a_moment_are_looked_up(
    engine: Engine, datastack: str, manual: Path, small_world: Path
) -> None:
    engine.run(RunKind.BULK_UPLOAD, datastack, upload=ask(manual, corrected()))
    version = engine.run(RunKind.COMPLETE, datastack, as_of=BIRTH).version
    rows = engine.frozen(datastack, version)
    expected = Oracle(small_world).objects_of(ends(rows, "supervoxel_id"), BIRTH)
    assert same_partition(ends(rows, "root_id"), expected)


@pytest.mark.parametrize("file", ["sv_ids_ordered", "root_ids_order"])
def test_supplied_ids_that_volume_or_graph_contradict_stop_the_run(
    engine: Engine, datastack: str, manual: Path, file: str
) -> None:
    ids = np.load(manual / f"{file}.npy")
    np.save(manual / f"{file}.npy", np.roll(ids, 1, axis=0))
    record = engine.attempt(RunKind.BULK_UPLOAD, datastack, upload=ask(manual, corrected(), roots_as_of=DAY))
    assert record.status is RunStatus.FAILED
    assert record.error is not None
    assert "the file says" in record.error
    assert "check the table's resolution" in record.error


@pytest.mark.parametrize("order", ["C", "F"])
def test_both_memory_orders_and_one_file_for_several_columns(
    engine: Engine, datastack: str, manual: Path, order: str
) -> None:
    for path in manual.glob("*.npy"):
        np.save(path, np.asarray(np.load(path), order=order))
    engine.run(RunKind.BULK_UPLOAD, datastack, upload=ask(manual, corrected(), roots_as_of=DAY))
    rows = engine.frozen(datastack, engine.run(RunKind.FREEZE, datastack, as_of=DAY).version)
    assert np.array_equal(ends(rows, "supervoxel_id"), np.load(manual / "sv_ids_ordered.npy").astype(np.int64))


def test_rows_without_ids_are_numbered_in_file_order_and_the_next_id_is_free(
    engine: Engine, datastack: str, manual: Path
) -> None:
    mapping = corrected()
    del mapping["id"]
    engine.run(RunKind.BULK_UPLOAD, datastack, upload=ask(manual, mapping))
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        assert connection.one("SELECT min(id), max(id), count(*) FROM synapses") == (1, 2000, 2000)
        assert connection.value("SELECT nextval(pg_get_serial_sequence('synapses', 'id'))") == 2001


@pytest.fixture
def bucket(manual: Path) -> Iterator[Callable[[Engine], Engine]]:
    """The manual's files behind a storage server on loopback, for an engine told to use it."""
    with serving(GoogleStorage("lab", manual.parent)) as server:

        def pointed(engine: Engine) -> Engine:
            settings = replace(engine.services.settings, storage_emulator=server.url)
            return Engine(Services(settings, "tests"), engine.neighbors)

        yield pointed


def test_files_in_a_bucket(engine: Engine, datastack: str, manual: Path, bucket: Callable[[Engine], Engine]) -> None:
    remote = bucket(engine)
    request = ask("gs://lab/manual", corrected(), roots_as_of=DAY)
    remote.run(RunKind.BULK_UPLOAD, datastack, upload=request)
    rows = engine.frozen(datastack, engine.run(RunKind.FREEZE, datastack, as_of=DAY).version)
    assert np.array_equal(ends(rows, "root_id"), np.load(manual / "root_ids_order.npy").astype(np.int64))
    remote.services.close()


def test_a_bucket_without_credentials_is_one_clear_error(engine: Engine, datastack: str, manual: Path) -> None:
    settings = replace(engine.services.settings, credentials_file="/nowhere/key.json")
    remote = Engine(Services(settings, "tests"), engine.neighbors)
    with pytest.raises(errors.CredentialsMissing, match="GOOGLE_APPLICATION_CREDENTIALS"):
        remote.attempt(RunKind.BULK_UPLOAD, datastack, upload=ask("gs://lab/project", corrected()))
    remote.services.close()
