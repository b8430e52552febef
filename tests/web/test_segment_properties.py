"""Segment properties against the rows: one entry for each segment, nothing lost without a word."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from . import frozen
from .asking import API, float_32

STACK = f"{API}/datastack/{frozen.DATASTACK}"


def of(answer: TestResponse) -> dict[str, dict[str, Any]]:
    """Segment to what is said of it."""
    assert answer.status_code == 200, answer.text
    assert answer.json["@type"] == "neuroglancer_segment_properties"
    inline = answer.json["inline"]
    told: dict[str, dict[str, Any]] = {each: {} for each in inline["ids"]}
    assert len(told) == len(inline["ids"]) and inline["ids"] == sorted(inline["ids"], key=int)
    for each in inline["properties"]:
        for segment, value in zip(inline["ids"], each["values"], strict=True):
            told[segment][each["id"]] = [each["tags"][n] for n in value] if each["type"] == "tags" else value
    return told


def first(rows: list[frozen.Row], column: str = "pt_root_id") -> dict[str, frozen.Row]:
    """The row of the smallest id of every segment."""
    found: dict[str, frozen.Row] = {}
    for row in sorted(rows, key=lambda row: -row["id"]):
        if row[column]:
            found[str(row[column])] = row
    return found


@pytest.mark.parametrize("version", [1, 2])
def test_numbers_of_a_table_and_a_word_for_those_left_out(client: FlaskClient, rows: frozen.Rows, version: int) -> None:
    answer = client.get(f"{STACK}/version/{version}/table/nuclei/info")
    told, known = of(answer), first(rows["nuclei"])
    assert told.keys() == known.keys()
    for segment, row in known.items():
        mine = told[segment]
        assert mine["label"] == str(row["id"])
        assert mine["volume"] == (float_32(row["volume"]) if row["volume"] is not None else 0)
        assert ("no_volume" in mine["tags"]) is (row["volume"] is None)
        x, _, z = row["pt_position"]
        assert (mine["pt_position_x"], mine["pt_position_z"]) == (x * 64, z * 40)
    twins = sum(1 for row in rows["nuclei"] if row["pt_root_id"]) - len(known)
    assert f"{twins} rows" in answer.headers["Warning"]


def test_texts_of_a_reference_table_are_tags_of_its_targets_segments(client: FlaskClient, rows: frozen.Rows) -> None:
    nuclei = {row["id"]: row for row in rows["nuclei"]}
    joined = [{**row, "pt_root_id": nuclei[row["target_id"]]["pt_root_id"]} for row in rows["cell_types"]]
    options = "label_format={cell_type} of {classification_system}&label_columns=id"
    told, known = of(client.get(f"{STACK}/version/1/table/cell_types/info?{options}")), first(joined)
    assert told.keys() == known.keys()
    for segment, row in known.items():
        words = {text for text in (row["classification_system"], row["cell_type"]) if text}
        assert words <= set(told[segment]["tags"])
        assert told[segment]["label"] == f"{row['cell_type'] or ''} of {row['classification_system']}"


def test_a_public_datastack(client: FlaskClient, rows: frozen.Rows) -> None:
    path = f"{API}/datastack/{frozen.PUBLIC}"
    assert of(client.get(f"{path}/version/5/table/nuclei/info")) == of(client.get(f"{path}/table/nuclei/info"))
    assert client.get(f"{path}/table/synapses/info").status_code == 404


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ("label_format={id.__class__}", "label_format"),
        ("label_format={id!r}", "label_format"),
        ("label_format={id:>99999999}", "label_format"),
        ("label_format={", "label_format"),
        ("label_columns=id,nothing", "label_columns"),
    ],
)
def test_labels_are_columns_and_no_more(client: FlaskClient, rows: frozen.Rows, options: str, field: str) -> None:
    answer = client.get(f"{STACK}/version/1/table/nuclei/info?{options}")
    assert answer.status_code == 400 and answer.json["details"]["field"] == field


def test_a_table_without_segments(client: FlaskClient, rows: frozen.Rows) -> None:
    answer = client.get(f"{STACK}/version/1/table/marks/info")
    assert answer.status_code == 400 and "no column of root ids" in answer.json["message"]
