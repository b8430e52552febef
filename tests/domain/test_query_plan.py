"""Names found, values checked, outputs named: without a database."""

from __future__ import annotations

from typing import Any

import pytest

from materializationengine.domain.errors import BadQuery
from materializationengine.domain.query import join_question, simple_question
from materializationengine.domain.query_order import with_cursor, write_cursor
from materializationengine.domain.query_plan import OutputKind, Source, resolve
from materializationengine.domain.schemas import schema, schema_names

SYNAPSES = Source("synapses", schema("synapse"), (4.0, 4.0, 40.0))
CELLS = Source("cells", schema("cell_type_reference"), (1.0, 1.0, 1.0))
NUCLEI = Source("nuclei", schema("nucleus_detection"), (64.0, 64.0, 40.0))
TABLES: list[list[str]] = [["cells", "target_id"], ["nuclei", "id"]]


def names(body: dict[str, Any]) -> list[str]:
    return [output.name for output in resolve(join_question({"tables": TABLES, **body}), [CELLS, NUCLEI]).outputs]


@pytest.mark.parametrize("name", schema_names())
def test_every_column_of_every_schema_has_an_output(name: str) -> None:
    source = Source("t", schema(name), (1.0, 1.0, 1.0))
    plan = resolve(simple_question("t", {}), [source])
    assert list(dict.fromkeys(output.column.name for output in plan.outputs)) == [c.name for c in source.columns]
    places = [output.name for output in plan.outputs if output.axis]
    assert len(places) % 3 == 0 and all(
        name.endswith(f"_{axis}") for name, axis in zip(places, "xyz" * 20, strict=False)
    )


@pytest.mark.parametrize(
    ("suffixes", "first", "second"),
    [
        ({}, "idx", "idy"),
        ({"suffix_map": {"cells": "", "nuclei": "_ref"}}, "id", "id_ref"),
        ({"suffix_map": {"nuclei": "_ref"}}, "idx", "id_ref"),
        ({"suffixes": ["_a", "_b"]}, "id_a", "id_b"),
        ({"suffixes": ["_a"]}, "id_a", "idy"),
        ({"suffixes": {"nuclei": ""}}, "idx", "id"),
    ],
)
def test_suffixes(suffixes: dict[str, Any], first: str, second: str) -> None:
    found = names(suffixes)
    assert found[0] == first and second in found
    assert "cell_type" in found and "pt_position_x" in found


def test_only_columns_that_both_give_are_told_apart() -> None:
    assert names({"select_column_map": {"cells": ["id"], "nuclei": ["volume"]}}) == ["id", "volume"]
    assert names({"select_columns": ["id", "volume"]}) == ["idx", "idy", "volume"]


def test_the_kinds_of_the_wire() -> None:
    kinds = {output.name: output.kind for output in resolve(simple_question("synapses", {}), [SYNAPSES]).outputs}
    assert kinds["id"] is kinds["pre_pt_root_id"] is OutputKind.INT64
    assert kinds["size"] is OutputKind.FLOAT32 and kinds["ctr_pt_position_y"] is OutputKind.INT32
    scaled = resolve(simple_question("synapses", {"desired_resolution": [4, 4, 30]}), [SYNAPSES]).outputs
    assert {output.kind for output in scaled if output.axis} == {OutputKind.FLOAT64}


def test_positions_of_a_join_come_in_the_units_of_the_last_table() -> None:
    plan = resolve(join_question({"tables": TABLES}), [CELLS, NUCLEI])
    assert plan.resolution == (64.0, 64.0, 40.0)


def test_a_supervoxel_comes_once_and_where_it_was_asked_for() -> None:
    def of(*columns: str) -> list[str]:
        plan = resolve(simple_question("synapses", {"select_columns": list(columns)}), [SYNAPSES])
        return [output.name for output in plan.outputs]

    assert of("pre_pt_root_id") == ["pre_pt_supervoxel_id", "pre_pt_root_id"]
    assert of("pre_pt_root_id", "id", "pre_pt_supervoxel_id") == ["pre_pt_root_id", "id", "pre_pt_supervoxel_id"]
    assert of("id", "id") == ["id"]


def test_a_cursor_goes_on_after_numbers_that_json_has_not() -> None:
    plan = resolve(simple_question("synapses", {"order_by": ["size"]}), [SYNAPSES])
    for word, number in (("NaN", "nan"), ("Infinity", "inf"), ("-Infinity", "-inf")):
        found = with_cursor(plan, write_cursor("mark", (word, "(0,1)")), "mark")
        assert found.after is not None and repr(found.after[0]) == number and found.after[1] == "(0,1)"
    text = resolve(join_question({"tables": TABLES, "order_by": ["cell_type"]}), [CELLS, NUCLEI])
    assert with_cursor(text, write_cursor("mark", ("NaN", "(0,1)", "(0,2)")), "mark").after == ("NaN", "(0,1)", "(0,2)")


def test_a_filter_may_name_a_column_as_the_answer_or_the_client_s_manager_does() -> None:
    points = Source("points", schema("reference_point"), (1.0, 1.0, 1.0))
    tables = {"tables": [["points", "target_id"], ["nuclei", "id"]]}
    for points_, nuclei, asked, number in (
        ("_ref", "", "pt_root_id_ref", 0),
        ("_ref", "", "pt_ref_root_id", 0),
        ("", "_ref", "pt_ref_root_id", 1),
        ("", "_ref", "id_ref", 1),
    ):
        suffixes = {"suffix_map": {"points": points_, "nuclei": nuclei}}
        question = join_question({**tables, **suffixes, "filter_equal_dict": {"points": {asked: 5}}})
        (predicate,) = resolve(question, [points, NUCLEI]).predicates
        assert (predicate.source, predicate.column.name) == (number, asked.replace("_ref", ""))
    with pytest.raises(BadQuery, match="has no column 'pt_other_root_id'"):
        resolve(join_question({**tables, "filter_equal_dict": {"points": {"pt_other_root_id": 5}}}), [points, NUCLEI])


def test_a_column_that_two_other_tables_have_is_not_guessed() -> None:
    other = Source("other", schema("nucleus_detection"), (1.0, 1.0, 1.0))
    body = {"tables": [*TABLES, ["other", "id"]], "filter_greater_dict": {"cells": {"volume": 1}}}
    with pytest.raises(BadQuery, match="volume"):
        resolve(join_question(body), [CELLS, NUCLEI, other])
