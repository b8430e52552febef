"""From a question to its one statement: a table of both."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from materializationengine.domain.ports import RootLookup
from materializationengine.domain.query import Question, join_question, simple_question
from materializationengine.domain.query_plan import LiveRoots, Source, resolve
from materializationengine.domain.schemas import schema
from materializationengine.storage import literals, query_sql

AS_OF = datetime(2026, 1, 2, tzinfo=UTC)
TAGS = Source("tags", schema("bound_tag"), (4.0, 4.0, 40.0))
CELLS = Source("cells", schema("cell_type_reference"), (1.0, 1.0, 1.0))
SPLIT = Source("tags", schema("bound_tag"), (4.0, 4.0, 40.0), "tags__pcg", split=True)
NO_IDS = Source("tags", schema("bound_tag"), (4.0, 4.0, 40.0), None, split=True)


def statement(question: Question, *sources: Source, percent: float | None = None) -> str:
    return query_sql.select(resolve(question, sources), AS_OF, percent=percent)


ONE = 'SELECT t0."id"::bigint AS "id" FROM "public"."tags" AS t0 WHERE t0."valid"'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ONE),
        ({"limit": 5}, f"{ONE} LIMIT 5"),
        ({"offset": 7}, f"{ONE} OFFSET 7"),
        ({"limit": 0, "offset": 7}, f"{ONE} LIMIT 0 OFFSET 7"),
        ({"filter_in_dict": {"tags": {"id": [1, 2]}}}, f"{ONE} AND t0.\"id\" = ANY ('{{1,2}}'::bigint[])"),
        ({"filter_in_dict": {"tags": {"id": []}}}, f"{ONE} AND t0.\"id\" = ANY ('{{}}'::bigint[])"),
        ({"filter_notin_dict": {"tags": {"id": []}}}, f"{ONE} AND true"),
        (
            {"filter_out_dict": {"tags": {"tag": ["a'b", "c\\"]}}},
            f"{ONE} AND t0.\"tag\" <> ALL (ARRAY[E'a''b', E'c\\\\']::text[])",
        ),
        ({"filter_equal_dict": {"tags": {"tag": "x"}}}, f"{ONE} AND t0.\"tag\" = E'x'::text"),
        ({"filter_equal_dict": {"tags": {"valid": True}}}, f'{ONE} AND t0."valid" = true'),
        ({"filter_greater_dict": {"tags": {"id": 2.5}}}, f"{ONE} AND t0.\"id\" > '2'::bigint"),
        ({"filter_greater_equal_dict": {"tags": {"id": 2.5}}}, f"{ONE} AND t0.\"id\" >= '3'::bigint"),
        ({"filter_less_dict": {"tags": {"id": 2.5}}}, f"{ONE} AND t0.\"id\" < '3'::bigint"),
        ({"filter_less_equal_dict": {"tags": {"id": -2.5}}}, f"{ONE} AND t0.\"id\" <= '-3'::bigint"),
        ({"filter_regex_dict": {"tags": {"tag": "^a"}}}, f"{ONE} AND t0.\"tag\" ~ E'^a'::text"),
        ({"filter_null_dict": {"tags": {"pt_root_id": True}}}, f'{ONE} AND t0."pt_root_id" IS NULL'),
        ({"filter_null_dict": {"tags": {"pt_root_id": False}}}, f'{ONE} AND t0."pt_root_id" IS NOT NULL'),
    ],
)
def test_one_table(body: dict[str, Any], expected: str) -> None:
    assert statement(simple_question("tags", {"select_columns": ["id"], **body}), TAGS) == expected


def test_a_box_asks_the_index_and_then_the_exact_positions() -> None:
    body = {"select_columns": ["id"], "filter_spatial_dict": {"tags": {"pt_position": [[0, 1, 2], [3, 4.5, 5]]}}}
    box = "ST_3DMakeBox(ST_MakePoint(0.0, 1.0, 2.0), ST_MakePoint(3.0, 4.5, 5.0))::geometry"
    exact = " AND ".join(
        f'ST_{axis}(t0."pt_position") BETWEEN {low}::float8 AND {high}::float8'
        for axis, low, high in (("X", 0.0, 3.0), ("Y", 1.0, 4.5), ("Z", 2.0, 5.0))
    )
    assert statement(simple_question("tags", body), TAGS) == f'{ONE} AND (t0."pt_position" &&& {box} AND {exact})'


@pytest.mark.parametrize(
    ("resolution", "x", "z"),
    [
        (None, 'ST_X(t0."pt_position")::integer', 'ST_Z(t0."pt_position")::integer'),
        ([2, 2, 40], '(ST_X(t0."pt_position")::integer * 2)::integer', 'ST_Z(t0."pt_position")::integer'),
        ([8, 8, 40], 'ST_X(t0."pt_position") * 0.5::float8', 'ST_Z(t0."pt_position") * 1.0::float8'),
    ],
)
def test_positions_are_scaled_in_the_statement(resolution: list[float] | None, x: str, z: str) -> None:
    body = {"select_columns": ["pt_position"], "desired_resolution": resolution}
    columns = statement(simple_question("tags", body), TAGS).partition(" FROM ")[0]
    assert columns.startswith(f'SELECT {x} AS "pt_position_x", ') and columns.endswith(f', {z} AS "pt_position_z"')


def test_the_second_table_of_a_split_version_is_read_only_where_it_is_needed() -> None:
    seen = '(t0."created" <= timestamp \'2026-01-02 00:00:00\' AND (t0."deleted" IS NULL OR'
    without = statement(simple_question("tags", {"select_columns": ["tag"], "limit": 1}), SPLIT)
    assert "tags__pcg" not in without and seen in without and "ORDER BY" not in without
    by_root = {"select_columns": ["tag"], "filter_equal_dict": {"tags": {"pt_root_id": 5}}, "limit": 1}
    joined = statement(simple_question("tags", by_root), SPLIT)
    assert 'LEFT JOIN "public"."tags__pcg" AS s0 ON s0.id = t0.id' in joined
    assert "s0.\"pt_root_id\" = '5'::bigint" in joined and joined.endswith(" ORDER BY t0.ctid LIMIT 1")


def test_a_filter_by_a_root_of_the_moment_is_laid_over_each_branch() -> None:
    found = RootLookup(np.array([7, 0]), np.array([True, False]))
    live = replace(SPLIT, live=True, roots=LiveRoots(np.array([1, 2]), found, {"pt_root_id": (5, 7)}))
    question = simple_question("tags", {"select_columns": ["id"], "filter_in_dict": {"tags": {"pt_root_id": [7]}}})
    text = statement(question, live)
    assert "AS (SELECT * FROM unnest('{1,2}'::bigint[], '{7,NULL}'::bigint[]))" in text
    live_one, other = (f"{name} = ANY ('{{7}}'::bigint[])" for name in ('s0."pt_root_id"', "p0_0.root"))
    assert text.endswith(f"(CASE WHEN p0_0.supervoxel IS NULL THEN {live_one} ELSE {other} END)")
    assert "s0.\"pt_root_id\" = ANY ('{5,7}'::bigint[])" in text


def test_values_apart_from_the_text_are_those_that_stood_in_it() -> None:
    table = {"id": 5, "tag": "a'b"}
    body = {"filter_equal_dict": {"tags": table}, "filter_in_dict": {"tags": {"tag": ["x", "y"], "id": [1]}}}
    question = simple_question("tags", {"select_columns": ["id"], **body})
    with literals.apart() as held:
        text = statement(question, SPLIT)
    for place, (value, kind) in reversed(list(enumerate(zip(held.values, held.types, strict=True), 1))):
        text = text.replace(f"${place}", value if kind == "timestamp" else f"{value}::{kind}")
    assert text == statement(question, SPLIT) and len(held.values) > 4


def test_ids_of_a_split_table_that_never_had_any_are_unknown() -> None:
    body = {"select_columns": ["pt_root_id"], "filter_equal_dict": {"tags": {"pt_root_id": 5}}}
    text = statement(simple_question("tags", body), NO_IDS)
    assert 'NULL::bigint::bigint AS "pt_root_id"' in text and "NULL::bigint = '5'::bigint" in text


@pytest.mark.parametrize(
    ("source", "right"),
    [
        (TAGS, '"public"."tags" AS t1'),
        (SPLIT, '("public"."tags" AS t1 LEFT JOIN "public"."tags__pcg" AS s1 ON s1.id = t1.id)'),
    ],
)
def test_a_join(source: Source, right: str) -> None:
    body = {
        "tables": [["cells", "target_id"], ["tags", "id"]],
        "select_column_map": {"cells": ["cell_type"], "tags": ["pt_root_id"]},
        "limit": 3,
    }
    text = statement(join_question(body), CELLS, source)
    assert f'FROM "public"."cells" AS t0 JOIN {right} ON t0."target_id" = t1."id" WHERE' in text
    assert text.endswith(" ORDER BY t0.ctid, t1.ctid LIMIT 3")


def test_a_count_has_no_page() -> None:
    text = statement(simple_question("tags", {"limit": 1, "offset": 2}, count=True), TAGS)
    assert text == 'SELECT count(*) AS count FROM "public"."tags" AS t0 WHERE t0."valid"'


def test_a_sample_comes_before_the_filters() -> None:
    text = statement(simple_question("tags", {"select_columns": ["id"]}), TAGS, percent=12.5)
    assert 'FROM "public"."tags" AS t0 TABLESAMPLE BERNOULLI (12.5) WHERE' in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (-(2**63), "'-9223372036854775808'::bigint"),
        (1e300, "'1e+300'::float8"),
        ("\\'", "E'\\\\'''::text"),
    ],
)
def test_literals(value: literals.Scalar, text: str) -> None:
    assert literals.scalar(value) == text
