"""Pages by cursor, and answers in other media types, against the whole answer."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import frozen
from .asking import ask, join, post, read

SORTABLE = {
    "synapses": ["id", "pre_pt_root_id", "post_pt_root_id", "size"],
    "nuclei": ["id", "pt_root_id", "volume"],
    "cell_types": ["cell_type", "classification_system", "target_id"],
    "marks": ["tag", "valid_id"],
}


def pages(client: FlaskClient, path: str, body: dict[str, Any]) -> list[frozen.Row]:
    """Every page, one after another."""
    seen: list[frozen.Row] = []
    after: str | None = ""
    while after is not None:
        answer = post(client, path, {**body, "after": after})
        assert answer.status_code == 200, answer.text
        page = read(answer).to_pylist()
        assert len(page) == body["limit"] or "X-Next-Cursor" not in answer.headers
        seen += page
        after = answer.headers.get("X-Next-Cursor")
    return seen


@pytest.mark.usefixtures("rows")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_pages_make_up_the_whole_in_any_order(client: FlaskClient, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(sorted(SORTABLE)))
    names = data.draw(st.lists(st.sampled_from(SORTABLE[table]), unique=True, max_size=3))
    order = [data.draw(st.sampled_from(["", "-"])) + name for name in names]
    version = data.draw(st.sampled_from([1, 2]))
    whole = ask(client, table, {"order_by": order}, version)
    limit = data.draw(st.integers(max(1, len(whole) // 4), len(whole) + 1))
    assert pages(client, f"version/{version}/table/{table}/query", {"order_by": order, "limit": limit}) == whole
    assert whole == _sorted(ask(client, table, {}, version), order)


def _sorted(rows: list[frozen.Row], order: list[str]) -> list[frozen.Row]:
    """Stable sorts from the last key to the first; missing values last, either way."""
    for text in reversed(order):
        name, down = text.removeprefix("-"), text.startswith("-")
        held = [row for row in rows if row[name] is not None]
        # Python's sort keeps the order of equal rows, reversed or not.
        held.sort(key=lambda row, name=name: row[name], reverse=down)
        rows = held + [row for row in rows if row[name] is None]
    return rows


def test_pages_of_a_join(client: FlaskClient, rows: frozen.Rows) -> None:
    body: dict[str, Any] = {
        "tables": [["cell_types", "target_id"], ["nuclei", "id"]],
        "suffix_map": {"cell_types": "", "nuclei": "_n"},
    }
    whole = join(client, body)
    seen = pages(client, "version/1/query", {**body, "limit": 40})
    assert sorted(row["id"] for row in seen) == sorted(row["id"] for row in whole)
    ordered = pages(client, "version/1/query", {**body, "limit": 40, "order_by": ["-volume", "cell_type"]})
    volumes = [row["volume"] for row in ordered if row["volume"] is not None]
    assert volumes == sorted(volumes, reverse=True) and len(ordered) == len(whole)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    "cursor",
    ["x", "!!", "AAAA", "\u00e9", base64.urlsafe_b64encode(json.dumps(["0" * 16, "(0,1)"]).encode()).decode()],
)
def test_a_cursor_that_is_none_is_refused(client: FlaskClient, cursor: str) -> None:
    answer = post(client, "version/1/table/nuclei/query", {"limit": 3, "after": cursor})
    assert answer.status_code == 400 and answer.json["details"]["field"] == "after"


@pytest.mark.usefixtures("rows")
def test_a_cursor_fits_its_own_question_only(client: FlaskClient) -> None:
    path = "version/1/table/nuclei/query"
    mark = post(client, path, {"limit": 3, "after": ""}).headers["X-Next-Cursor"]
    other = post(client, path, {"limit": 3, "after": mark, "filter_greater_dict": {"nuclei": {"id": 3}}})
    assert other.status_code == 400 and "another query" in other.json["message"]
    assert post(client, "version/2/table/nuclei/query", {"limit": 3, "after": mark}).status_code == 400
    assert read(post(client, path, {"limit": 50, "after": mark})).num_rows == 50


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("order", [["pt_position"], ["nothing"], ["--id"], ["id; DROP TABLE nuclei"]])
def test_an_order_that_cannot_be_is_refused(client: FlaskClient, order: list[str]) -> None:
    answer = post(client, "version/1/table/nuclei/query", {"order_by": order})
    assert answer.status_code == 400 and answer.json["message"].startswith("order_by")


READERS = {
    "application/vnd.apache.arrow.stream": lambda data: pa.ipc.open_stream(data).read_all(),
    "application/vnd.apache.parquet": lambda data: pa.parquet.read_table(io.BytesIO(data)),
    "application/x-parquet": lambda data: pa.parquet.read_table(io.BytesIO(data)),
}


@pytest.mark.parametrize("kind", READERS)
def test_columnar_forms_hold_the_same_table(client: FlaskClient, rows: frozen.Rows, kind: str) -> None:
    for body in ({}, {"filter_equal_dict": {"synapses": {"id": -1}}}):
        plain = read(post(client, "version/1/table/synapses/query", body))
        answer = post(client, "version/1/table/synapses/query", body, Accept=kind)
        assert answer.content_type == kind
        assert READERS[kind](answer.data).equals(plain)


def test_text_forms_hold_the_same_rows(client: FlaskClient, rows: frozen.Rows) -> None:
    path = "version/1/table/cell_types/query"
    plain = ask(client, "cell_types", {})
    ndjson = post(client, path, {}, Accept="application/x-ndjson")
    assert [json.loads(line) for line in ndjson.text.splitlines()] == plain
    assert post(client, path, {}, Accept="application/json").json == plain
    table = pa.csv.read_csv(io.BytesIO(post(client, path, {}, Accept="text/csv").data))
    assert table["id"].to_pylist() == [row["id"] for row in plain]
    packed = post(client, path, {}, Accept="text/csv", **{"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert pa.csv.read_csv(io.BytesIO(gzip.decompress(packed.data))).equals(table)


@pytest.mark.usefixtures("rows")
def test_a_form_that_is_not_offered_is_refused(client: FlaskClient) -> None:
    answer = post(client, "version/1/table/nuclei/query", {}, Accept="image/png")
    assert answer.status_code == 406 and "text/csv" in answer.json["message"]
    browser = post(client, "version/1/table/nuclei/query", {}, Accept="text/html,application/xml;q=0.9,*/*;q=0.8")
    assert read(browser).num_rows == 200


@pytest.mark.usefixtures("rows")
def test_an_answer_of_a_version_can_be_kept(client: FlaskClient) -> None:
    path, body = "version/1/table/nuclei/query", {"limit": 3}
    first = post(client, path, body)
    assert "immutable" in first.headers["Cache-Control"]
    again = post(client, path, body, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert read(first).num_rows == 3
    other = post(client, path, {"limit": 4}, **{"If-None-Match": first.headers["ETag"]})
    assert read(other).num_rows == 4
    text = post(client, path, body, Accept="text/csv")
    assert text.data and text.headers["ETag"] != first.headers["ETag"]
