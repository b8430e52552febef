"""Look-ups of few rows, of missing roots, and the removal of wrong ones: what each fills, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from materializationengine.domain import errors
from materializationengine.domain.plan import RunKind
from materializationengine.kernel import moments
from tests.harness import Engine, ends
from tests.oracle import Oracle, same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
SOME = (3, 5, 8)


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    return datastack


def ids_of(engine: Engine, stack: str) -> dict[int, tuple[int | None, ...]]:
    """Supervoxels and roots of the live rows by id."""
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        rows = connection.rows(f'SELECT * FROM "synapses__{stack}_pcg" ORDER BY id')
    return {row[0]: tuple(row[1:]) for row in rows}


def spoil(engine: Engine, stack: str, change: str) -> None:
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        connection.execute(f'UPDATE "synapses__{stack}_pcg" SET {change}')
        connection.commit()


def mark(engine: Engine, stack: str) -> object:
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        return connection.value("SELECT last_updated FROM segmentation_table_metadata")


def owed(engine: Engine, stack: str) -> list[tuple[int, str, str]]:
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        return connection.rows(
            "SELECT annotation_id, column_name, reason FROM matengine.unresolved ORDER BY annotation_id, column_name"
        )


def test_given_rows_are_ingested_and_no_others(engine: Engine, stack: str) -> None:
    record = engine.run(RunKind.INGEST, stack, table="synapses", annotation_ids=SOME, as_of=BIRTH)
    assert record.steps[-1].rows == len(SOME)
    found = ids_of(engine, stack)
    assert tuple(found) == SOME and None not in {value for row in found.values() for value in row}


def test_svids_come_first_and_roots_follow(engine: Engine, stack: str, small_world: Path) -> None:
    engine.run(RunKind.LOOKUP_SVID, stack, table="synapses", annotation_ids=SOME, as_of=BIRTH)
    pre, pre_root, post, post_root = zip(*ids_of(engine, stack).values(), strict=True)
    truth = np.load(small_world / "truth/supervoxels.npy").astype(np.int64)
    by_id = dict(zip(np.load(small_world / "annotations/synapses/id.npy").tolist(), truth.tolist(), strict=True))
    assert list(zip(pre, post, strict=True)) == [tuple(by_id[each]) for each in SOME]
    assert {*pre_root, *post_root} == {None}
    assert {reason for *_, reason in owed(engine, stack)} == {"not_looked_up"} and len(owed(engine, stack)) == 6
    engine.run(RunKind.LOOKUP_SVID, stack, table="synapses", as_of=BIRTH)
    assert len(ids_of(engine, stack)) == 2_000
    engine.run(RunKind.UPDATE_DATABASE, stack, as_of=BIRTH + timedelta(days=20))
    assert owed(engine, stack) == [] and None not in {value for row in ids_of(engine, stack).values() for value in row}


@pytest.mark.parametrize("kind", [RunKind.SPARSE_MISSING_ROOTS, RunKind.DENSE_MISSING_ROOTS])
def test_missing_roots_come_back_at_the_tables_mark(engine: Engine, stack: str, kind: RunKind) -> None:
    """A row with one NULL of two is mended as well, and `last_updated` stays where it is."""
    engine.run(RunKind.UPDATE_DATABASE, stack, as_of=BIRTH + timedelta(days=10))
    before, moment = ids_of(engine, stack), mark(engine, stack)
    spoil(engine, stack, "pre_pt_root_id = NULL WHERE id % 7 = 0")
    spoil(engine, stack, "post_pt_root_id = NULL WHERE id % 14 = 0")
    engine.run(kind, stack, table="synapses", as_of=BIRTH + timedelta(days=50))
    assert ids_of(engine, stack) == before and mark(engine, stack) == moment


def test_missing_roots_are_found_in_every_table(engine: Engine, stack: str) -> None:
    assert engine.run(RunKind.DENSE_MISSING_ROOTS, stack, as_of=BIRTH).steps[-1].units == 0
    engine.run(RunKind.LOOKUP_SVID, stack, table="synapses", annotation_ids=SOME, as_of=BIRTH)
    engine.run(RunKind.DENSE_MISSING_ROOTS, stack, as_of=BIRTH)
    assert None not in {value for row in ids_of(engine, stack).values() for value in row}
    assert owed(engine, stack) == []


def test_bad_roots_are_taken_away_and_looked_up_again(engine: Engine, stack: str, small_world: Path) -> None:
    engine.run(RunKind.UPDATE_DATABASE, stack, as_of=BIRTH + timedelta(days=10))
    right = ids_of(engine, stack)
    spoil(engine, stack, "pre_pt_root_id = 12345 WHERE id <= 20")
    spoil(engine, stack, "post_pt_root_id = 67890 WHERE id = 7")
    record = engine.run(RunKind.REMOVE_BAD_ROOTS, stack, table="synapses", bad_roots=(12345, 67890))
    wrong = sum(1 for each in right if each <= 20)
    assert record.units[0].facts["columns"] == {"pre_pt_root_id": wrong, "post_pt_root_id": 1}
    assert {reason for *_, reason in owed(engine, stack)} == {"removed_as_bad"} and len(
        owed(engine, stack)
    ) == wrong + 1
    record = engine.run(RunKind.COMPLETE, stack, as_of=BIRTH + timedelta(days=30))
    rows = engine.frozen(stack, record.version)
    expected = Oracle(small_world).objects_of(ends(rows, "supervoxel_id"), BIRTH + timedelta(days=30))
    assert same_partition(ends(rows, "root_id"), expected) and owed(engine, stack) == []


def test_all_roots_are_asked_when_told_so(engine: Engine, stack: str) -> None:
    """A wrong root that never expires is mended by an update that asks for all of them."""
    engine.run(RunKind.UPDATE_DATABASE, stack, as_of=BIRTH + timedelta(days=10))
    spoil(engine, stack, "pre_pt_root_id = 12345 WHERE id = 1")
    engine.run(RunKind.UPDATE_DATABASE, stack, as_of=BIRTH + timedelta(days=11))
    assert ids_of(engine, stack)[1][1] == 12345
    engine.run(RunKind.UPDATE_ROOTS, stack, as_of=BIRTH + timedelta(days=12), everything=True)
    assert ids_of(engine, stack)[1][1] != 12345


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (RunKind.LOOKUP_SVID, {}, "needs a table"),
        (RunKind.LOOKUP_SVID, {"table": "nosuch"}, "nosuch"),
        (RunKind.SPARSE_MISSING_ROOTS, {}, "needs a table"),
        (RunKind.REMOVE_BAD_ROOTS, {"table": "synapses"}, "name at least one root"),
        (RunKind.INGEST, {"annotation_ids": (1,)}, "needs a table"),
    ],
)
def test_what_is_not_said_is_asked_for(
    engine: Engine, stack: str, kind: RunKind, fields: dict[str, object], message: str
) -> None:
    with pytest.raises((errors.BadRequest, errors.UnknownTable), match=message):
        engine.attempt(kind, stack, **fields)
