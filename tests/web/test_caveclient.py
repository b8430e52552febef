"""The real caveclient 8.2.1 over a real socket: values and dtypes as its users know them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from . import frozen
from .asking import flat, float_32
from .conftest import Drive

ROOT = frozen.BIG + 3
QUERIES: dict[str, Any] = {
    "whole": ("synapses", {}),
    "few": (
        "synapses",
        {
            "filter_equal_dict": {"pre_pt_root_id": ROOT},
            "select_columns": ["id", "size", "ctr_pt_position"],
            "limit": 7,
        },
    ),
    "out": ("synapses", {"filter_out_dict": {"pre_pt_root_id": [0, ROOT]}, "select_columns": ["id"]}),
    "box": (
        "synapses",
        {"filter_spatial_dict": {"ctr_pt_position": [[0, 0, 0], [500, 500, 500]]}, "select_columns": ["id"]},
    ),
    "none": ("synapses", {"filter_equal_dict": {"id": -1}}),
    "scaled": ("synapses", {"desired_resolution": [1, 1, 1], "select_columns": ["id", "ctr_pt_position"], "limit": 3}),
    "marks": ("marks", {}),
    "merged": ("cell_types", {"filter_in_dict": {"cell_type": ["b"]}, "filter_greater_dict": {"pt_supervoxel_id": 0}}),
}


@pytest.fixture(scope="module")
def read(drive: Drive, rows: frozen.Rows) -> dict[str, Any]:
    return drive("reading.py", queries=QUERIES, root=ROOT)


def test_versions_and_metadata(read: dict[str, Any], rows: frozen.Rows) -> None:
    assert sorted(read["versions"]) == [1, 2] and sorted(read["expired"]) == [1, 2, 4]
    assert read["timestamp"] == "2026-01-02T03:04:05.000006+00:00"
    assert sorted(read["tables"]) == sorted(read["all_metadata"]) == sorted(frozen.SCHEMAS)
    assert read["metadata"]["voxel_resolution"] == [4.0, 4.0, 40.0]
    assert read["count"] == len(rows["synapses"]) and read["versions_metadata"] == [1, 2]


def test_a_whole_table_value_by_value(read: dict[str, Any], rows: frozen.Rows) -> None:
    frame = read["frames"]["whole"]
    kinds = dict(zip(frame["columns"], frame["dtypes"], strict=True))
    assert kinds == {
        "id": "Int64",
        "valid": "boolean",
        "pre_pt_supervoxel_id": "Int64",
        "pre_pt_root_id": "Int64",
        "post_pt_supervoxel_id": "Int64",
        "post_pt_root_id": "Int64",
        "size": "Float32",
        "pre_pt_position": "object",
        "post_pt_position": "object",
        "ctr_pt_position": "object",
    }
    for got, row in zip(frame["rows"], rows["synapses"], strict=True):
        known = {name: float_32(value) if isinstance(value, float) else value for name, value in row.items()}
        expected = {n: list(v) if isinstance(v, tuple) else v for n, v in known.items()}
        assert dict(zip(frame["columns"], got, strict=True)) == expected
    assert frame["resolution"] == [4.0, 4.0, 40.0]


def ids(frame: dict[str, Any]) -> list[int]:
    return [row[frame["columns"].index("id")] for row in frame["rows"]]


def test_filters(read: dict[str, Any], rows: frozen.Rows) -> None:
    frames, table = read["frames"], rows["synapses"]
    of_root = [row["id"] for row in table if row["pre_pt_root_id"] == ROOT]
    assert ids(frames["few"]) == of_root[:7] and frames["few"]["columns"] == ["id", "size", "ctr_pt_position"]
    assert ids(frames["out"]) == [row["id"] for row in table if row["pre_pt_root_id"] not in (None, 0, ROOT)]
    assert ids(frames["box"]) == [row["id"] for row in table if max(row["ctr_pt_position"]) <= 500]
    assert ids(frames["none"]) == []
    first = rows["synapses"][0]["ctr_pt_position"]
    assert frames["scaled"]["rows"][0][-1] == [first[0] * 4, first[1] * 4, first[2] * 40]
    assert frames["scaled"]["resolution"] == [1.0, 1.0, 1.0]


def test_a_reference_table_is_merged_with_its_target(read: dict[str, Any], rows: frozen.Rows) -> None:
    nuclei = {row["id"]: row for row in rows["nuclei"]}
    for name, kind in (("merged", "b"), ("manager", "a")):
        frame = read["frames"][name]
        column = frame["columns"].index
        id_column = "id" if name == "merged" else "id_ref"
        got = sorted(
            (row[column(id_column)], row[column("pt_root_id")], row[column("pt_position")]) for row in frame["rows"]
        )
        cells = [row for row in rows["cell_types"] if row["cell_type"] == kind]
        expected = [
            (c["id"], nuclei[c["target_id"]]["pt_root_id"], [int(v) for v in nuclei[c["target_id"]]["pt_position"]])
            for c in cells
        ]
        assert expected and got == sorted(expected)
    assert len(read["frames"]["join"]["rows"]) == len(rows["cell_types"])


def test_synapse_query_leaves_out_zeros_and_autapses(read: dict[str, Any], rows: frozen.Rows) -> None:
    expected = [
        row["id"]
        for row in rows["synapses"]
        if row["pre_pt_root_id"] == ROOT and row["post_pt_root_id"] not in (None, 0, ROOT)
    ]
    assert ids(read["synapses"]) == expected


def test_split_positions_and_json_rows(read: dict[str, Any], rows: frozen.Rows) -> None:
    box = read["frames"]["managed_box"]
    expected = [row["id"] for row in rows["synapses"] if max(row["ctr_pt_position"]) <= 300]
    assert expected and ids(box) == expected and "ctr_pt_position_x" in box["columns"]
    assert read["json_rows"] == [flat(row) for row in rows["marks"]]


def test_annotation_client(drive: Drive) -> None:
    out = drive("writing.py", table="from_the_client")
    assert out["created"] == 200 and out["listed"] and out["resolution"] == [4.0, 4.0, 40.0]
    assert out["posted"] == [1, 2] and out["frame"] == [3, 4]
    assert out["updated"] == {"1": 5} and out["deleted"] == [2] and out["count"] == 3
    assert out["got"][0]["pt_position"] == [9, 9, 9] and out["got"][0]["volume"] == 1.0
    assert out["after_staging"] == 5 and out["changed"] == "other"
    assert out["removed"] == "from_the_client" and not out["still_listed"]


@pytest.fixture(scope="module")
def methods(drive: Drive, rows: frozen.Rows) -> dict[str, Any]:
    return drive("methods.py", root=ROOT)


def test_both_generations_give_the_same_answers(methods: dict[str, Any], rows: frozen.Rows) -> None:
    assert methods["api"] == [3, 2] and methods["old"] == methods["new"]
    told = methods["new"]
    assert told["tables"] == sorted(frozen.SCHEMAS) and told["count"] == len(rows["synapses"])
    assert (told["versions"], told["newest"], told["records"]) == ([1, 2, 4], 2, [1, 2])
    assert told["moment"] == told["record"] == "2026-01-02T03:04:05.000006+00:00"
    assert [row[0] for row in told["table"]["data"]] == [row["id"] for row in rows["synapses"][:50]]
    assert told["counted"]["data"] == [[len(rows["synapses"])]]
    mine = {row["id"] for row in rows["synapses"] if row["pre_pt_root_id"] == ROOT != row["post_pt_root_id"]}
    assert {row[0] for row in told["pre"]["data"]} <= mine and told["pre"]["data"]
    assert len(told["join"]["data"]) == len(rows["cell_types"])


def test_texts_and_what_neuroglancer_is_given(methods: dict[str, Any], base_url: str, rows: frozen.Rows) -> None:
    assert f"{base_url}/materialize/views/datastack/{frozen.DATASTACK}" in methods["homepage"]
    path, info = methods["annotations"]
    assert path == f"precomputed://middleauth+{base_url}{STACK}/table/nuclei/precomputed"
    assert info["annotation_type"] == "point" and info["relationships"] == [{"id": "pt_root_id", "key": "pt_root_id"}]
    path, info = methods["segments"]
    assert path == f"precomputed://middleauth+{base_url}{STACK}/version/1/table/nuclei"
    roots = {row["pt_root_id"] for row in rows["nuclei"] if row["pt_root_id"]}
    assert info["inline"]["ids"] == [str(root) for root in sorted(roots)]


STACK = f"/materialize/api/v3/datastack/{frozen.DATASTACK}"
DRIVERS = Path(__file__).parent / "drivers"


def test_every_method_of_the_client_is_called_by_a_driver(methods: dict[str, Any]) -> None:
    """Whatever a later release of the client adds fails here until a driver calls it."""
    called: set[str] = set()
    for script in DRIVERS.glob("*.py"):
        called |= {node.attr for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Attribute)}
    # `live_query` calls `map_filters`, which asks the chunkedgraph; the others hold settings.
    aside = {"map_filters", "cg_client", "datastack_name"}
    assert len(methods["methods"]) > 25 and not set(methods["methods"]) - called - aside
