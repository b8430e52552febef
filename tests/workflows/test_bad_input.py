"""A mistake gives one clear error that names the culprit and the fix, leaves nothing behind, and can be mended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from materializationengine.domain import errors
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.workflows.requests import UploadRequest
from tests.harness import SYNAPSE_MAPPING, Engine, copy_world

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")


@pytest.fixture
def columns(tmp_path: Path) -> Path:
    """Ten good synapses near the origin, as `.npy` columns."""
    folder = tmp_path / "columns"
    folder.mkdir()
    points = np.arange(30, dtype=np.int64).reshape(10, 3)
    np.save(folder / "id.npy", np.arange(1, 11))
    for name in ("presyn_coords", "postsyn_coords", "center_coords"):
        np.save(folder / f"{name}.npy", points)
    np.save(folder / "sizes.npy", np.ones(10, dtype=np.float32))
    return folder


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    """A loaded datastack."""
    engine.load(small_world, datastack)
    return datastack


def ask(columns: Path, **changes: object) -> UploadRequest:
    fields = {"table": "synapses", "schema": "synapse", "path": str(columns), "mapping": SYNAPSE_MAPPING}
    return UploadRequest(**{**fields, "created": BIRTH, **changes})  # type: ignore[arg-type]


def remap(**changes: object) -> dict[str, object]:
    mapping: dict[str, object] = {**SYNAPSE_MAPPING}
    for key, value in changes.items():
        mapping.pop(key, None)
        if value is not None:
            mapping[key] = value
    return mapping


def save(name: str, values: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / f"{name}.npy", values)


POINTS = np.arange(30).reshape(10, 3)

REFUSED_AT_ONCE = {
    "missing file": (
        {"mapping": {**remap(presyn_coords=None), "presynaptic_coords": "pre_pt_position"}},
        None,
        errors.BadUpload,
        r"no file presynaptic_coords\.npy; the nearest is presyn_coords\.npy",
    ),
    "missing column": (
        {"mapping": remap(sizes="sizze")},
        None,
        errors.BadUpload,
        r"sizes\.npy fills sizze, which the schema has not; did you mean size\?",
    ),
    "required column unfilled": (
        {"mapping": remap(center_coords=None)},
        None,
        errors.BadUpload,
        r"no file fills ctr_pt_position",
    ),
    "column filled twice": (
        {"mapping": remap(center_coords="pre_pt_position")},
        None,
        errors.BadUpload,
        r"both fill pre_pt_position",
    ),
    "different lengths": ({}, save("sizes", np.ones(9)), errors.BadUpload, r"different lengths: .*sizes\.npy 9 rows"),
    "wrong dtype": ({}, save("id", np.ones(10)), errors.BadUpload, r"id\.npy holds <f8; column id takes whole numbers"),
    "wrong shape": (
        {},
        save("presyn_coords", np.ones((10, 2))),
        errors.BadUpload,
        r"presyn_coords\.npy has shape \(10, 2\).*must have shape \(n, 3\)",
    ),
    "unknown schema": ({"schema": "synaps"}, None, errors.UnknownSchema, r"'synaps'; did you mean 'synapse'\?"),
    "table name with quotes": ({"table": 'syn"apses'}, None, errors.BadName, r"lower-case letter"),
    "table name too long": ({"table": "t" * 80}, None, errors.BadName, r"has 80 characters.* may have \d+"),
    "folder that does not exist": ({"path": "/nowhere/at/all"}, None, errors.BadUpload, r"/nowhere/at/all"),
    "reference without target": (
        {"schema": "simple_reference", "mapping": {"id": "target_id"}},
        None,
        errors.BadRequest,
        r"needs a reference table",
    ),
}


@pytest.mark.parametrize("case", REFUSED_AT_ONCE)
def test_refused_before_a_row_is_read(engine: Engine, stack: str, columns: Path, case: str) -> None:
    changes, spoil, error, message = REFUSED_AT_ONCE[case]
    good = columns.parent / "good"
    shutil.copytree(columns, good)
    if spoil is not None:
        spoil(columns)
    with pytest.raises(error, match=message):
        engine.attempt(RunKind.BULK_UPLOAD, stack, upload=ask(columns, **changes))
    assert_clean(engine, stack)
    engine.run(RunKind.BULK_UPLOAD, stack, upload=ask(good))


REFUSED_WHILE_LOADING = {
    "not a number": (save("presyn_coords", np.where(POINTS == 12, np.nan, POINTS)), r"presyn_coords\.npy row 4.*nan"),
    "out of range": (save("presyn_coords", np.where(POINTS == 12, 2.0**40, POINTS)), r"presyn_coords\.npy row 4"),
    "duplicate ids": (save("id", np.array([1, 2, 3, 3, 5, 6, 7, 8, 9, 10])), r"ids are not unique: .*\(id\)=\(3\)"),
    "id beyond bigint": (save("id", np.arange(10, dtype=np.uint64) + np.uint64(2**63 - 5)), r"id\.npy row 5"),
}


@pytest.mark.parametrize("case", REFUSED_WHILE_LOADING)
def test_refused_while_loading(engine: Engine, stack: str, columns: Path, case: str) -> None:
    spoil, message = REFUSED_WHILE_LOADING[case]
    good = columns.parent / "good"
    shutil.copytree(columns, good)
    spoil(columns)
    record = engine.attempt(RunKind.BULK_UPLOAD, stack, upload=ask(columns))
    assert record.status is RunStatus.FAILED
    assert_matches(message, record.error)
    assert_clean(engine, stack)
    engine.run(RunKind.BULK_UPLOAD, stack, upload=ask(good))


def test_a_table_that_exists_is_not_overwritten(engine: Engine, stack: str, columns: Path) -> None:
    engine.run(RunKind.BULK_UPLOAD, stack, upload=ask(columns))
    with pytest.raises(errors.TableExists, match="'synapses' exists already"):
        engine.attempt(RunKind.BULK_UPLOAD, stack, upload=ask(columns))


def test_back_dated_rows_are_refused_unless_forced(engine: Engine, stack: str, columns: Path) -> None:
    engine.run(RunKind.BULK_UPLOAD, stack, upload=ask(columns))
    engine.run(RunKind.COMPLETE, stack, as_of=moments.parse("2026-02-01"))
    late = ask(columns, table="late")
    with pytest.raises(errors.BackDated, match="would belong to versions that were frozen without them"):
        engine.attempt(RunKind.BULK_UPLOAD, stack, upload=late)
    forced = engine.run(RunKind.BULK_UPLOAD, stack, upload=ask(columns, table="late", force=True))
    with engine.services.cluster.connect(forced.database) as connection:
        noted = connection.value("SELECT plan -> 'upload' ->> 'back_dated' FROM matengine.run WHERE id = $1", forced.id)
    assert noted == "true"


def test_an_unknown_datastack_is_named_with_the_nearest(engine: Engine, stack: str) -> None:
    with pytest.raises(errors.UnknownDatastack, match=f"did you mean {stack}"):
        engine.attempt(RunKind.FREEZE, f"{stack}x")


def test_a_moment_ahead_is_refused(engine: Engine, stack: str) -> None:
    with pytest.raises(errors.BadMoment, match="lies ahead"):
        engine.attempt(RunKind.FREEZE, stack, as_of=moments.parse("2999-01-01"))


def test_a_volume_that_cannot_be_read(engine: Engine, small_world: Path, datastack: str, tmp_path: Path) -> None:
    world = copy_world(small_world, tmp_path / "broken")
    engine.load(world, datastack)
    engine.upload_synapses(world, datastack, BIRTH)
    volume = (world / "segmentation").readlink()
    (world / "segmentation").unlink()
    record = engine.attempt(RunKind.INGEST, datastack, as_of=BIRTH)
    assert record.status is RunStatus.FAILED
    assert_matches(r"segmentation", record.error)
    (world / "segmentation").symlink_to(volume)
    engine.run(RunKind.INGEST, datastack, as_of=BIRTH)


def test_a_graph_that_is_down(engine: Engine, small_world: Path, datastack: str) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    engine.neighbors.faults(segmentation={"status": 503, "count": 1000}, datastack=datastack)
    try:
        record = engine.attempt(RunKind.INGEST, datastack, as_of=BIRTH)
    finally:
        engine.neighbors.mend()
    assert record.status is RunStatus.FAILED
    assert_matches(r"chunkedgraph", record.error)
    assert max(unit.attempt for unit in record.units) == engine.services.settings.max_attempts
    engine.run(RunKind.INGEST, datastack, as_of=BIRTH)


def assert_matches(pattern: str, text: str | None) -> None:
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)


def assert_clean(engine: Engine, stack: str) -> None:
    """No table, no metadata, no staging."""
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        assert connection.value("SELECT to_regclass('synapses') IS NULL")
        assert connection.value("SELECT count(*) FROM annotation_table_metadata") == 0
        assert connection.value("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'stage%'") == 0
