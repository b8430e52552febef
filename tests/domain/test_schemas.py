"""The three tables of a schema type: columns, roles, points, indexes."""

from __future__ import annotations

import pytest

from materializationengine.domain.errors import UnknownSchema
from materializationengine.domain.names import MAX_IDENTIFIER
from materializationengine.domain.schemas import (
    BoundPoint,
    IndexKind,
    Role,
    SqlType,
    indexes,
    schema,
    schema_names,
)

REFERENCES = {
    "reference_synapse_valid",
    "bouton_shape",
    "presynaptic_bouton_type",
    "postsynaptic_compartment",
    "func_unit_ext_coreg",
    "func_properties_bcm",
    "digital_twin_properties",
    "simple_reference",
    "reference_tag",
    "reference_tag_float",
    "reference_tag_with_confidence",
    "reference_integer",
    "reference_simple_group",
    "reference_simple_group_indexed",
    "reference_point",
    "cell_type_reference",
    "cell_type_reference_user",
    "fly_neuropil",
    "cell_match_reference",
}

WRITTEN = {
    "synapse": "valid pre_pt_position post_pt_position ctr_pt_position size",
    "plastic_synapse": "valid pre_pt_position post_pt_position ctr_pt_position size plasticity",
    "nucleus_detection": "valid volume pt_position bb_start_position bb_end_position",
    "reference_point": "valid target_id pt_position",
    "reference_tag": "tag valid target_id",
    "reference_tag_float": "tag valid target_id value",
    "cell_type_local": "valid classification_system cell_type pt_position",
    "cell_type_reference_user": "valid target_id classification_system cell_type user_id",
    "contact": "valid size sidea_pt_position sideb_pt_position ctr_pt_position",
    "bound_2tag_user": "valid pt_position tag pt2_position tag2 user_id",
    "derived_spatial_point": "position dependent_chunk level",
    "derived_tag": "valid pt_position pt_dependent_chunk pt_level tag",
    "pt_bool_valid": "valid pt_position tag valid_id",
    "simple_reference": "valid target_id",
}

LOOKED_UP = {
    "synapse": "pre_pt_supervoxel_id pre_pt_root_id post_pt_supervoxel_id post_pt_root_id",
    "nucleus_detection": "pt_supervoxel_id pt_root_id",
    "reference_point": "pt_supervoxel_id pt_root_id",
    "bound_2tag": "pt_supervoxel_id pt_root_id pt2_supervoxel_id pt2_root_id",
    "derived_spatial_point": "supervoxel_id root_id",
    "derived_numeric_value": "pt_supervoxel_id pt_root_id",
    "cell_match": "pt_supervoxel_id pt_root_id",
}

FLAT = {
    "synapse": """id valid pre_pt_position pre_pt_supervoxel_id pre_pt_root_id post_pt_position
        post_pt_supervoxel_id post_pt_root_id ctr_pt_position size""",
    "nucleus_detection": """id valid volume pt_position pt_supervoxel_id pt_root_id bb_start_position
        bb_end_position""",
    "reference_point": "id valid target_id pt_position pt_supervoxel_id pt_root_id",
    "contact": """id valid size sidea_pt_position sidea_pt_supervoxel_id sidea_pt_root_id sideb_pt_position
        sideb_pt_supervoxel_id sideb_pt_root_id ctr_pt_position""",
    "bound_2tag": """id valid pt_position pt_supervoxel_id pt_root_id tag pt2_position pt2_supervoxel_id
        pt2_root_id tag2""",
    "derived_spatial_point": "id position supervoxel_id root_id dependent_chunk level",
    "derived_tag": "id valid pt_position pt_supervoxel_id pt_root_id pt_dependent_chunk pt_level tag",
}


def test_there_are_57_types() -> None:
    assert len(schema_names()) == len(set(schema_names())) == 57


def test_reference_types() -> None:
    assert {name for name in schema_names() if schema(name).is_reference} == REFERENCES


def test_segmented_types_are_all_but_the_references_and_one() -> None:
    segmented = {name for name in schema_names() if schema(name).has_segmentation}
    assert segmented == set(schema_names()) - REFERENCES - {"pt_bool_valid"} | {"reference_point"}


@pytest.mark.parametrize("name", WRITTEN)
def test_annotation_columns(name: str) -> None:
    history = ["id", "created", "deleted", "superceded_id"]
    assert [c.name for c in schema(name).annotation_columns()] == history + WRITTEN[name].split()


@pytest.mark.parametrize("name", LOOKED_UP)
def test_segmentation_columns(name: str) -> None:
    assert [c.name for c in schema(name).segmentation_columns()] == ["id", *LOOKED_UP[name].split()]


@pytest.mark.parametrize("name", FLAT)
def test_flat_columns(name: str) -> None:
    assert [c.name for c in schema(name).flat_columns()] == FLAT[name].split()


def test_a_type_without_bound_points_has_no_segmentation_columns() -> None:
    assert schema("pt_bool_valid").segmentation_columns() == ()


@pytest.mark.parametrize("name", schema_names())
def test_the_flat_table_is_both_sides_without_the_history(name: str) -> None:
    of = schema(name)
    sides = {*of.annotation_columns(), *of.segmentation_columns()}
    history = {Role.CREATED, Role.DELETED, Role.SUPERSEDED}
    assert set(of.flat_columns()) == {column for column in sides if column.role not in history}
    names = [column.name for column in of.flat_columns()]
    assert len(names) == len(set(names))


def test_bound_points_name_their_columns() -> None:
    assert schema("bound_2tag").points == (
        BoundPoint("pt", "pt_position", "pt_supervoxel_id", "pt_root_id"),
        BoundPoint("pt2", "pt2_position", "pt2_supervoxel_id", "pt2_root_id"),
    )
    assert schema("derived_spatial_point").points == (BoundPoint("", "position", "supervoxel_id", "root_id"),)
    assert [point.name for point in schema("synapse").points] == ["pre_pt", "post_pt"]
    assert schema("pt_bool_valid").points == ()


@pytest.mark.parametrize("name", schema_names())
def test_points_and_roles_agree(name: str) -> None:
    of = schema(name)
    roles = {column.name: (column.role, column.type, column.point) for column in of.flat_columns()}
    for point in of.points:
        assert roles[point.position] == (Role.POSITION, SqlType.POINTZ, point.name)
        assert roles[point.supervoxel] == (Role.SUPERVOXEL, SqlType.BIGINT, point.name)
        assert roles[point.root] == (Role.ROOT, SqlType.BIGINT, point.name)
    assert len(of.segmentation_columns()) == (1 + 2 * len(of.points) if of.points else 0)


def test_a_role_is_not_read_off_a_name() -> None:
    roles = {column.name: column.role for column in schema("cell_similarity").flat_columns()}
    assert roles["query_root_id"] is roles["match_root_id"] is Role.VALUE
    assert roles["match_pt_root_id"] is Role.ROOT
    assert {c.name: c.role for c in schema("bound_tag_valid").flat_columns()}["valid_id"] is Role.VALUE
    assert {c.name: c.role for c in schema("bound_tag_user").flat_columns()}["user_id"] is Role.USER


def test_only_id_and_created_are_not_null() -> None:
    columns = [c for name in schema_names() for c in schema(name).annotation_columns()]
    assert {column.name for column in columns if not column.nullable} == {"id", "created"}


def test_an_optional_point_makes_its_columns_optional() -> None:
    required = {column.name for column in schema("nucleus_detection").flat_columns() if column.required}
    assert required == {"pt_position"}


def index_names(name: str, side: str, table: str) -> list[tuple[str, str]]:
    columns = getattr(schema(name), f"{side}_columns")()
    return [(index.name, index.kind.value) for index in indexes(columns, table)]


def test_index_names() -> None:
    assert index_names("synapse", "annotation", "syn") == [
        ("ix_syn_created", "btree"),
        ("ix_syn_deleted", "btree"),
        ("idx_syn_pre_pt_position", "spatial"),
        ("idx_syn_post_pt_position", "spatial"),
        ("idx_syn_ctr_pt_position", "spatial"),
    ]
    assert index_names("synapse", "segmentation", "syn__pcg") == [
        ("ix_syn__pcg_pre_pt_root_id", "btree"),
        ("ix_syn__pcg_post_pt_root_id", "btree"),
    ]
    assert index_names("reference_simple_group_indexed", "flat", "g") == [
        ("ix_g_target_id", "btree"),
        ("ix_g_group_id", "btree"),
    ]
    assert index_names("cell_match_reference", "flat", "m") == [
        ("ix_m_target_id", "btree"),
        ("ix_m_match_id", "btree"),
    ]


def test_long_index_names_stay_apart() -> None:
    table = "t" * 60
    found = indexes(schema("synapse").flat_columns(), table)
    assert len({index.name for index in found}) == len(found) == 5
    assert all(len(index.name.encode()) <= MAX_IDENTIFIER for index in found)
    assert found == indexes(schema("synapse").flat_columns(), table)
    assert {index.column for index in found if index.kind is IndexKind.SPATIAL} == {
        "pre_pt_position",
        "post_pt_position",
        "ctr_pt_position",
    }


@pytest.mark.parametrize(("wrong", "near"), [("synaps", "synapse"), ("nucleus_detect", "nucleus_detection")])
def test_an_unknown_type_names_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(UnknownSchema, match=rf"{wrong}.*{near}"):
        schema(wrong)


def test_an_unknown_type_unlike_all_others_lists_them() -> None:
    with pytest.raises(UnknownSchema, match=r"bound_tag.*v1dd_func_unit_coreg"):
        schema("")
