"""The 57 schema types of CAVE as data, one line for each field (workflows.md 1.6).

The order of the fields is the order of the columns. A type that extends another one starts with its fields.
"""

from __future__ import annotations

from .fields import Point
from .notation import (
    DERIVED,
    TARGET,
    VALID,
    Fields,
    annotation,
    bigint,
    boolean,
    bsp,
    dsp,
    indexed,
    integer,
    number,
    optional,
    reference,
    sp,
    text,
    user,
)

_STATUS = ("non", "clean", "extended")

_synapse = annotation(
    bsp("pre_pt"),
    bsp("post_pt"),
    sp("ctr_pt"),
    optional(number("size")),
)
_fly_synapse = annotation(
    bsp("pre_pt"),
    bsp("post_pt"),
    optional(number("connection_score")),
    optional(number("cleft_score")),
)
SYNAPSES: dict[str, Fields] = {
    "synapse": _synapse,
    "nocleft_synapse": annotation(
        bsp("pre_pt"),
        bsp("post_pt"),
        optional(number("score")),
    ),
    "nocenter_synapse": annotation(
        bsp("pre_pt"),
        bsp("post_pt"),
        optional(number("size")),
    ),
    "fly_synapse": _fly_synapse,
    "fly_nt_synapse": (
        *_fly_synapse,
        optional(number("gaba")),
        optional(number("ach")),
        optional(number("glut")),
        optional(number("oct")),
        optional(number("ser")),
        optional(number("da")),
        optional(boolean("valid_nt")),
    ),
    "plastic_synapse": (
        *_synapse,
        integer("plasticity", choices=(0, 1, 2, 3, 4)),
    ),
    "reference_synapse_valid": reference(
        boolean("is_valid"),
    ),
}

COMPARTMENTS: dict[str, Fields] = {
    "bouton_shape": reference(
        text("shape", "pancake", "basmati", "potato"),
    ),
    "presynaptic_bouton_type": reference(
        text(
            "bouton_type",
            *(
                "pancake",
                "basmati",
                "potato",
                "sst",
                "vertical",
                "vip",
                "ivy",
                "clutch",
                "chandelier",
            ),
        ),
    ),
    "postsynaptic_compartment": reference(
        text("compartment", "soma", "dendrite", "axon"),
        optional(boolean("on_spine")),
        optional(text("dendrite_class", "basal", "apical")),
    ),
    "spine_with_info": annotation(
        bsp("pt"),
        optional(number("volume")),
        optional(integer("n_inputs")),
    ),
}

_func_properties_bcm = reference(
    integer("session"),
    integer("scan_idx"),
    integer("unit_id"),
    number("pref_ori"),
    number("pref_dir"),
    number("gOSI"),
    number("gDSI"),
    number("cc_abs"),
)
FUNCTION: dict[str, Fields] = {
    "microns_func_coreg": annotation(
        bsp("pt"),
        integer("func_id"),
    ),
    "microns_func_unit_coreg": annotation(
        bsp("pt"),
        integer("session"),
        integer("scan_idx"),
        integer("unit_id"),
    ),
    "v1dd_func_unit_coreg": annotation(
        bsp("pt"),
        integer("column"),
        integer("volume"),
        optional(integer("plane")),
        integer("roi"),
        optional(number("residual")),
        optional(number("score")),
    ),
    "func_unit_ext_coreg": reference(
        integer("session"),
        integer("scan_idx"),
        integer("unit_id"),
        optional(integer("field")),
        optional(number("residual")),
        optional(number("score")),
    ),
    "func_properties_bcm": _func_properties_bcm,
    "digital_twin_properties": (
        *_func_properties_bcm,
        number("cc_max"),
        number("cc_norm"),
        number("OSI"),
        number("DSI"),
        number("readout_loc_x"),
        number("readout_loc_y"),
    ),
}

# The first field of these two is declared before `valid`, unlike everywhere else.
_reference_tag: Fields = (
    text("tag"),
    VALID,
    TARGET,
)
REFERENCES: dict[str, Fields] = {
    "simple_reference": reference(),
    "reference_tag": _reference_tag,
    "reference_tag_float": (
        *_reference_tag,
        number("value"),
    ),
    "reference_tag_with_confidence": reference(
        number("confidence"),
    ),
    "reference_integer": reference(
        integer("value"),
    ),
    "reference_simple_group": reference(
        integer("group_id"),
    ),
    "reference_simple_group_indexed": reference(
        indexed(integer("group_id")),
    ),
    "reference_point": reference(
        bsp("pt"),
    ),
}

_cell_type_reference = reference(
    text("classification_system"),
    text("cell_type"),
)
_fly_cell_type = annotation(
    bsp("pt"),
    text("cell_type"),
    text("hemisphere", "L", "R", "M", "U"),
)
CELLS: dict[str, Fields] = {
    "representative_point": annotation(
        bsp("pt"),
    ),
    "cell_type_local": annotation(
        text("classification_system"),
        text("cell_type"),
        bsp("pt"),
    ),
    "cell_type_reference": _cell_type_reference,
    "cell_type_reference_user": (
        *_cell_type_reference,
        user("user_id"),
    ),
    "extended_classical_cell_type": annotation(
        bsp("pt"),
        text("cell_type"),
    ),
    "fly_cell_type": _fly_cell_type,
    "fly_cell_type_ext": (
        *_fly_cell_type,
        optional(text("driver_line")),
        optional(text("synonym")),
    ),
    "fly_neuropil": reference(
        text("neuropil"),
    ),
    "nucleus_detection": annotation(
        optional(number("volume")),
        bsp("pt"),
        optional(sp("bb_start")),
        optional(sp("bb_end")),
    ),
}

_bound_tag = annotation(
    bsp("pt"),
    text("tag"),
)
_bound_double_tag = (
    *_bound_tag,
    text("tag2"),
)
_bound_2tag = (
    *_bound_tag,
    bsp("pt2"),
    text("tag2"),
)
_bound_tag_bool = annotation(
    bsp("pt"),
    boolean("tag"),
)
TAGS: dict[str, Fields] = {
    "bound_tag": _bound_tag,
    "bound_tag_user": (
        *_bound_tag,
        user("user_id"),
    ),
    "bound_double_tag": _bound_double_tag,
    "bound_double_tag_user": (
        *_bound_double_tag,
        user("user_id"),
    ),
    "bound_2tag": _bound_2tag,
    "bound_2tag_user": (
        *_bound_2tag,
        user("user_id"),
    ),
    "braincircuits_annotation_user": (
        *_bound_tag,
        user("user_id"),
    ),
    "bound_tag_bool": _bound_tag_bool,
    "bound_tag_bool_valid": (
        *_bound_tag_bool,
        bigint("valid_id"),
    ),
    "bound_tag_valid": (
        *_bound_tag,
        bigint("valid_id"),
    ),
    "pt_bool_valid": annotation(
        sp("pt"),
        boolean("tag"),
        bigint("valid_id"),
    ),
}

PROOFREADING: dict[str, Fields] = {
    "proofread_status": annotation(
        bsp("pt"),
        bigint("valid_id"),
        text("status", *_STATUS),
    ),
    "compartment_proofread_status": annotation(
        bsp("pt"),
        bigint("valid_id"),
        text("status_dendrite", *_STATUS),
        text("status_axon", *_STATUS),
    ),
    "compartment_proofread_status_strategy": annotation(
        bsp("pt"),
        bigint("valid_id"),
        boolean("status_dendrite"),
        boolean("status_axon"),
        text("strategy_dendrite"),
        text("strategy_axon"),
    ),
    "proofreading_boolstatus_user": annotation(
        bsp("pt"),
        bigint("valid_id"),
        boolean("proofread"),
        user("user_id"),
    ),
}

CONTACTS: dict[str, Fields] = {
    "glia_contact": annotation(
        bsp("glia_pt"),
        bsp("object_pt"),
        optional(number("size")),
    ),
    "contact": annotation(
        optional(integer("size")),
        bsp("sidea_pt"),
        bsp("sideb_pt"),
        optional(sp("ctr_pt")),
    ),
}

DERIVATIONS: dict[str, Fields] = {
    # A point and nothing else: its parts are the columns, without a prefix, and there is no `valid`.
    "derived_spatial_point": (Point("", DERIVED),),
    "derived_tag": annotation(
        dsp("pt"),
        text("tag"),
    ),
    "derived_numeric_value": annotation(
        dsp("pt"),
        optional(number("value")),
    ),
}

MATCHES: dict[str, Fields] = {
    "cell_match": annotation(
        bsp("pt"),
        bigint("query_root_id"),
        indexed(text("match_id")),
        number("score"),
        optional(boolean("validation")),
    ),
    "cell_similarity": annotation(
        bsp("pt"),
        bsp("match_pt"),
        bigint("query_root_id"),
        bigint("match_root_id"),
        number("score"),
    ),
    "cell_match_reference": reference(
        bigint("query_root_id"),
        indexed(text("match_id")),
        number("score"),
        optional(boolean("validation")),
    ),
}

CATALOGUE: dict[str, Fields] = {
    **SYNAPSES,
    **COMPARTMENTS,
    **FUNCTION,
    **REFERENCES,
    **CELLS,
    **TAGS,
    **PROOFREADING,
    **CONTACTS,
    **DERIVATIONS,
    **MATCHES,
}
