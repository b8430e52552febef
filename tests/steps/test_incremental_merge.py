"""The merge alone: any sorted base, cut into batches anyhow, becomes what sorting the whole would give."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from materializationengine.domain.schemas import schema
from materializationengine.storage.incremental_merge import Changes, Merge, RootMap, arrow_schema
from materializationengine.storage.tables import Shape, merged_shape

SHAPE = merged_shape("cells", schema("bound_tag"))
SCHEMA = arrow_schema(SHAPE.columns)
NONE = np.zeros(0, np.int64)
Row = tuple[int | None, int, int | None]
"""Supervoxel, id, root."""


def table(rows: list[Row]) -> pa.Table:
    """Rows of the shape; every column but the three is null."""
    known = {
        "pt_supervoxel_id": [row[0] for row in rows],
        "id": [row[1] for row in rows],
        "pt_root_id": [row[2] for row in rows],
    }
    columns = [pa.array(known.get(name, [None] * len(rows)), SCHEMA.field(name).type) for name in SCHEMA.names]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row[0] is None, row[0] or 0, row[1]))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(0, 40), change=st.integers(0, 30), batch=st.integers(1, 17))
def test_a_merge_is_the_sorted_union_with_roots_replaced(seed: int, size: int, change: int, batch: int) -> None:
    dice = random.Random(seed)
    ids = dice.sample(range(1, 500), size + change)
    base = in_order([(dice.choice([0, 7, 2**56, 2**62 + dice.randrange(9)]), n, dice.randrange(6)) for n in ids[:size]])
    gone = [row for row in base if dice.random() < 0.2]
    back = [(row[0], row[1], 99) for row in gone if dice.random() < 0.5]
    fresh = in_order([*back, *((dice.choice([None, 3, 7, 2**62]), n, 50) for n in ids[size:])])
    supervoxels = sorted({row[0] for row in base if row[0] is not None and dice.random() < 0.8})
    roots = RootMap(np.array(supervoxels, np.int64), np.arange(100, 100 + len(supervoxels)))
    expired = np.array([1, 4], np.int64)
    left_out = np.array(sorted(row[1] for row in gone), np.int64)
    merge = Merge(SHAPE, Changes(left_out, table(fresh), expired, roots))
    made = pa.Table.from_batches(merge.batches(table(base).to_batches(max_chunksize=batch)), SCHEMA)
    found = dict(zip(supervoxels, roots.roots.tolist(), strict=True))
    kept = [(sv, n, found.get(sv) if root in (1, 4) else root) for sv, n, root in base if n not in left_out]
    assert made.equals(table(in_order([*kept, *fresh])))
    assert merge.sorted
    assert (merge.dropped, merge.inserted) == (len(gone), len(fresh))
    assert merge.patched == sum(root in (1, 4) and n not in left_out for _, n, root in base)


def test_a_base_in_no_order_is_noticed_also_between_batches() -> None:
    rows: list[Row] = [(5, 1, 1), (6, 2, 1), (4, 3, 1), (8, 4, 1)]
    changes = Changes(NONE, table([]), NONE, RootMap(NONE, NONE))
    for batch in (2, 4):
        merge = Merge(SHAPE, changes)
        list(merge.batches(table(rows).to_batches(max_chunksize=batch)))
        assert not merge.sorted


def test_a_table_without_points_is_merged_by_id() -> None:
    shape = Shape("plain", SHAPE.columns, SHAPE.expressions, ())

    merge = Merge(shape, Changes(NONE, table([(1, 2, 1)]), NONE, RootMap(NONE, NONE)))
    made = pa.Table.from_batches(merge.batches(table([(9, 1, 1), (3, 3, 1)]).to_batches()), SCHEMA)
    assert made["id"].to_pylist() == [1, 2, 3]
