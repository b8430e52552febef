"""What clients post: every type round-trips, and what does not fit is refused in words that help."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from materializationengine.domain.errors import BadAnnotation
from materializationengine.domain.schemas import Role, Schema, schema, schema_names
from materializationengine.domain.schemas.fields import Field, Point, SqlType, Value
from materializationengine.domain.schemas.jsonschema import document
from materializationengine.domain.schemas.validation import dump_annotation, load_annotation, load_annotations

BIGGEST = 2**63 - 1
NOT_FROM_CLIENTS = {Role.ID, Role.CREATED, Role.DELETED, Role.SUPERSEDED, Role.VALID}
FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[SqlType, st.SearchStrategy[Any]] = {
    SqlType.BIGINT: st.integers(-(2**63), BIGGEST),
    SqlType.INTEGER: st.integers(-(2**31), 2**31 - 1),
    SqlType.DOUBLE: FINITE | st.integers(-(2**53), 2**53),
    SqlType.TEXT: st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    SqlType.BOOLEAN: st.booleans(),
    SqlType.POINTZ: st.lists(FINITE | st.integers(-(2**31), 2**31 - 1), min_size=3, max_size=3),
}


def values(value: Value) -> st.SearchStrategy[Any]:
    return st.sampled_from(value.choices) if value.choices else VALUES[value.type]


def client_parts(point: Point) -> list[Value]:
    return [part for part in point.kind.parts if part.from_client]


def objects(fields: list[Value]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with all required fields and any of the others."""
    return st.fixed_dictionaries(
        {field.name: values(field) for field in fields if field.required},
        optional={field.name: values(field) for field in fields if not field.required},
    )


def posts(of: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Everything that a client may post to a table of this type."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {"id": VALUES[SqlType.BIGINT]}
    for field in flat(of):
        into = required if field.required else optional
        into[field.name] = values(field) if isinstance(field, Value) else objects(client_parts(field))
    return st.fixed_dictionaries(required, optional=optional)


def flat(of: Schema) -> list[Field]:
    """The fields a client may write, with those of the nameless point in its place."""
    if of.name != "derived_spatial_point":
        return list(of.fields)
    return [part for field in of.fields if isinstance(field, Point) for part in client_parts(field)]


def ignored(of: Schema) -> set[str]:
    """Fields that a client may write and the server fills in."""
    return {f.name for f in of.fields if isinstance(f, Value) and f.role in (Role.VALID, Role.USER)}


@pytest.mark.parametrize("name", schema_names())
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_type_round_trips(name: str, data: st.DataObject) -> None:
    of = schema(name)
    posted = data.draw(posts(of))
    row = load_annotation(of, posted, user_id=5)
    assert set(row) - {"id"} == {c.name for c in of.annotation_columns() if c.role not in NOT_FROM_CLIENTS}
    again = dump_annotation(of, row)
    kept = {key: value for key, value in posted.items() if key not in ignored(of)}
    assert {key: value for key, value in again.items() if key not in ignored(of)} == kept
    assert load_annotation(of, again, user_id=5) == row


@pytest.mark.parametrize("name", schema_names())
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_what_is_accepted_fits_the_json_schema(name: str, data: st.DataObject) -> None:
    of = schema(name)
    posted = data.draw(posts(of))
    load_annotation(of, posted)
    Draft7Validator(document(of)).validate(json.loads(json.dumps(posted)))


@pytest.mark.parametrize("name", schema_names())
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_an_update_returns_what_was_given(name: str, data: st.DataObject) -> None:
    of = schema(name)
    full = data.draw(posts(of))
    keys = data.draw(st.sets(st.sampled_from(sorted(full)))) if full else set()
    part = {key: full[key] for key in keys} | {"id": 9}
    row = load_annotation(of, part, partial=True, user_id=5)
    whole = load_annotation(of, full | {"id": 9}, user_id=5)
    assert row.items() <= whole.items()
    users = {c.name for c in of.annotation_columns() if c.role is Role.USER}
    touched = {c.name for c in of.flat_columns() if (c.point or c.name) in keys and c.name in whole}
    given_parts = {n for n in touched if whole[n] is not None}
    assert given_parts <= set(row)
    assert set(row) <= touched | users | {"id"}


POINT = {"position": [1, 2, 3]}
SYNAPSE = {"pre_pt": POINT, "post_pt": POINT, "ctr_pt": POINT}

REFUSED = [
    ("synapse", {"size": "7"}, "size must be a number"),
    ("synapse", {"size": True}, "size must be a number"),
    ("synapse", {"size": float("nan")}, "size must be finite"),
    ("synapse", {"size": 10**400}, "size must be finite"),
    ("synapse", {"pre_pt": {"position": [1, 2]}}, "pre_pt.position must be a list of three finite numbers"),
    ("synapse", {"pre_pt": {"position": [1, 2, float("inf")]}}, "pre_pt.position must be a list of three"),
    ("synapse", {"pre_pt": {"position": [1, 2, 10**400]}}, "pre_pt.position must be a list of three"),
    ("synapse", {"pre_pt": {"position": [1, 2, True]}}, "pre_pt.position must be a list of three"),
    ("synapse", {"pre_pt": {"position": ["1", 2, 3]}}, "pre_pt.position must be a list of three"),
    ("synapse", {"pre_pt": {"position": "123"}}, "pre_pt.position must be a list of three"),
    ("synapse", {"pre_pt": {"position": None}}, "pre_pt.position must not be null"),
    ("synapse", {"pre_pt": {}}, "pre_pt.position is missing"),
    ("synapse", {"pre_pt": [1, 2, 3]}, "pre_pt must be an object"),
    ("synapse", {"pre_pt": None}, "pre_pt must not be null"),
    ("synapse", {"pre_pt": {**POINT, "root_id": 4}}, "pre_pt.root_id is looked up by the engine"),
    ("synapse", {"pre_pt": {**POINT, "supervoxel_id": 4}}, "pre_pt.supervoxel_id is looked up by the engine"),
    (
        "synapse",
        {"pre_pt": {**POINT, "pos": 4}},
        "pre_pt.pos is not a field of this schema; known are position",
    ),
    ("synapse", {"pre_pt_position": [1, 2, 3]}, 'is written inside its point: {"pre_pt": {"position": ...}}'),
    ("synapse", {"pre_pt_root_id": 4}, "pre_pt_root_id is looked up by the engine"),
    ("synapse", {"sise": 4}, "sise is not a field of this schema; perhaps 'size'"),
    ("synapse", {"created": "2026-01-01"}, "created is kept by the engine"),
    ("synapse", {"superceded_id": 3}, "superceded_id is kept by the engine"),
    ("synapse", {"id": "3"}, "id must be an integer"),
    ("synapse", {"id": 3.0}, "id must be an integer"),
    ("synapse", {"id": True}, "id must be an integer"),
    ("synapse", {"id": BIGGEST + 1}, f"id must lie between {-(2**63)} and {BIGGEST}"),
    ("synapse", {"valid": 1}, "valid must be true or false"),
    ("plastic_synapse", {**SYNAPSE, "plasticity": 5}, "plasticity must be one of 0, 1, 2, 3, 4"),
    ("plastic_synapse", {**SYNAPSE, "plasticity": True}, "plasticity must be an integer"),
    ("bouton_shape", {"target_id": 1, "shape": "bread"}, "shape must be one of pancake, basmati, potato"),
    ("bouton_shape", {"shape": "potato"}, "target_id is missing"),
    (
        "reference_integer",
        {"target_id": 1, "value": 2**31},
        "value must lie between -2147483648 and 2147483647",
    ),
    ("bound_tag", {"pt": POINT, "tag": 3}, "tag must be a text"),
    ("bound_tag", {"pt": POINT, "tag": None}, "tag must not be null"),
    ("bound_tag", {"pt": POINT, "tag": "a\0b"}, "tag must not hold a zero character"),
    (
        "bound_tag",
        {"pt": POINT, "tag": "\ud83d"},
        "tag must not hold a zero character or half of a surrogate",
    ),
    ("bound_tag_bool", {"pt": POINT, "tag": "yes"}, "tag must be true or false"),
    ("bound_tag_bool", {"pt": POINT, "tag": 1}, "tag must be true or false"),
    (
        "derived_spatial_point",
        {"position": [1, 2, 3], "dependent_chunk": 1, "root_id": 1},
        "root_id is looked up",
    ),
    ("derived_tag", {"pt": POINT, "tag": "x"}, "pt.dependent_chunk is missing"),
]


@pytest.mark.parametrize(("name", "given_", "told"), REFUSED)
def test_refused(name: str, given_: dict[str, Any], told: str) -> None:
    record = {**SYNAPSE, **given_} if name == "synapse" else given_
    with pytest.raises(BadAnnotation) as error:
        load_annotation(schema(name), record, row=17)
    assert told in error.value.message
    assert error.value.message.startswith(f"annotations[17] ({name}): ")
    assert error.value.details["row"] == 17


def test_the_error_carries_the_first_field_and_tells_of_all() -> None:
    with pytest.raises(BadAnnotation) as error:
        load_annotation(schema("synapse"), {**SYNAPSE, "post_pt": {"position": 3}, "size": "x"})
    assert error.value.details == {"field": "post_pt.position", "row": 0}
    assert "post_pt.position must" in error.value.message
    assert "size must" in error.value.message


@pytest.mark.parametrize("record", [None, [], "synapse", 3])
def test_an_annotation_is_an_object(record: Any) -> None:
    with pytest.raises(BadAnnotation, match="must be an object"):
        load_annotation(schema("synapse"), record)


def test_big_ids_keep_every_digit() -> None:
    record = {"pt": POINT, "query_root_id": 864691135341234567, "match_id": "m", "score": 1, "id": BIGGEST}
    row = load_annotation(schema("cell_match"), json.loads(json.dumps(record)))
    assert (row["query_root_id"], row["id"]) == (864691135341234567, BIGGEST)


def test_left_out_is_null_but_for_an_update() -> None:
    nucleus = schema("nucleus_detection")
    assert load_annotation(nucleus, {"pt": POINT}) == {
        "volume": None,
        "pt_position": (1.0, 2.0, 3.0),
        "bb_start_position": None,
        "bb_end_position": None,
    }
    assert load_annotation(nucleus, {"id": 4, "volume": 2}, partial=True) == {"id": 4, "volume": 2.0}


def test_an_update_may_set_an_optional_point_to_null() -> None:
    record = {"id": 4, "bb_start": None, "volume": None}
    row = load_annotation(schema("nucleus_detection"), record, partial=True)
    assert row == {"id": 4, "bb_start_position": None, "volume": None}


def test_an_update_needs_an_id_and_keeps_the_other_rules() -> None:
    with pytest.raises(BadAnnotation, match="id is missing"):
        load_annotation(schema("synapse"), {"size": 3}, partial=True)
    with pytest.raises(BadAnnotation, match="pre_pt must not be null"):
        load_annotation(schema("synapse"), {"id": 3, "pre_pt": None}, partial=True)


def test_a_null_id_is_no_id() -> None:
    assert "id" not in load_annotation(schema("synapse"), {**SYNAPSE, "id": None})
    with pytest.raises(BadAnnotation, match="id is missing"):
        load_annotation(schema("synapse"), {"id": None}, partial=True)


def test_a_hundred_faults_are_counted() -> None:
    with pytest.raises(BadAnnotation, match=r"and 92 more$"):
        load_annotation(schema("synapse"), {**SYNAPSE, **{f"x{n}": n for n in range(100)}})


def test_the_user_is_who_posts() -> None:
    record = {"pt": POINT, "tag": "x"}
    assert load_annotation(schema("bound_tag_user"), record, user_id=5)["user_id"] == 5
    assert load_annotation(schema("bound_tag_user"), {**record, "user_id": 6}, user_id=5)["user_id"] == 5


def test_a_list_is_checked_row_by_row() -> None:
    of = schema("bound_tag")
    good = {"pt": POINT, "tag": "x"}
    assert len(load_annotations(of, [good, {**good, "id": 3}, {**good, "id": 4}])) == 3
    with pytest.raises(BadAnnotation, match=r"annotations\[1\]"):
        load_annotations(of, [good, {"pt": POINT}])
    with pytest.raises(BadAnnotation, match=r"annotations\[2\].*id 3 is that of annotations\[0\]"):
        load_annotations(of, [{**good, "id": 3}, good, {**good, "id": 3}])
