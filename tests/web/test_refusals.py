"""Questions that cannot be answered: a 4xx that names the field, quickly, and never a traceback."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from materializationengine.config import Settings
from materializationengine.storage.engines import Cluster
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts

from . import frozen
from .asking import API, ask, post, read

pytestmark = pytest.mark.usefixtures("rows")
QUERY = "version/1/table/synapses/query"


def one(field: str, column: str, value: Any, table: str = "synapses") -> dict[str, Any]:
    return {field: {table: {column: value}}}


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({"filter_in": {}}, "filter_in", "did you mean filter_in_dict?"),
        ({"limit": -1}, "limit", "greater than or equal to 0"),
        ({"limit": 1.5}, "limit", "integer"),
        ({"limit": 2**64}, "limit", "less than or equal"),
        ({"offset": "x"}, "offset", "integer"),
        ({"desired_resolution": [4, 4]}, "desired_resolution", "3"),
        ({"desired_resolution": [4, 4, 0]}, "desired_resolution.2", "greater than or equal to"),
        ({"desired_resolution": [4, 4, float("nan")]}, "desired_resolution.2", "nan"),
        ({"desired_resolution": [4, 4, 40 / 2**22]}, "desired_resolution", "32 bits"),
        ({"select_columns": [1]}, "select_columns", "list of column names"),
        ({"select_columns": ["siez"]}, "select_columns.siez", "did you mean 'size'?"),
        ({"select_column_map": {"nuclei": ["id"]}}, "select_column_map.nuclei", "there are synapses"),
        ({"filter_in_dict": {"nuclei": {"id": [1]}}}, "filter_in_dict.nuclei", "there are synapses"),
        ({"filter_in_dict": [1]}, "filter_in_dict", "mapping"),
        (one("filter_in_dict", "pre_pt_root", [1]), "filter_in_dict.synapses.pre_pt_root", "did you mean"),
        (one("filter_in_dict", "id", 5), "filter_in_dict.synapses.id", "needs a list"),
        (one("filter_in_dict", "id", [1.5]), "filter_in_dict.synapses.id", "never 1.5"),
        (one("filter_in_dict", "id", [8.64691135e17]), "filter_in_dict.synapses.id", "lost its last digits"),
        (one("filter_in_dict", "id", [True]), "filter_in_dict.synapses.id", "whole number"),
        (one("filter_in_dict", "id", [None]), "filter_in_dict.synapses.id", "whole number"),
        (one("filter_equal_dict", "id", 2**64), "filter_equal_dict.synapses.id", "64 bits"),
        (one("filter_equal_dict", "id", float("nan")), "filter_equal_dict.synapses.id", "whole number"),
        (one("filter_equal_dict", "id", "1; DROP TABLE synapses"), "filter_equal_dict.synapses.id", "whole number"),
        (one("filter_greater_dict", "size", float("inf")), "filter_greater_dict.synapses.size", "finite"),
        (one("filter_less_dict", "size", 10**400), "filter_less_dict.synapses.size", "finite"),
        (one("filter_greater_dict", "valid", True), "filter_greater_dict.synapses.valid", "no order"),
        (one("filter_equal_dict", "valid", 1), "filter_equal_dict.synapses.valid", "true or false"),
        (one("filter_equal_dict", "ctr_pt_position", [1, 2, 3]), "filter_equal_dict.synapses.ctr_pt_position", "a box"),
        (
            one("filter_spatial_dict", "size", [[0, 0, 0], [1, 1, 1]]),
            "filter_spatial_dict.synapses.size",
            "not a position",
        ),
        (
            one("filter_spatial_dict", "ctr_pt_position", [[5, 0, 0], [1, 1, 1]]),
            "filter_spatial_dict.synapses.ctr_pt_position",
            "empty box",
        ),
        (
            one("filter_spatial_dict", "ctr_pt_position", [[0, 0], [1, 1]]),
            "filter_spatial_dict.synapses.ctr_pt_position",
            "[[min_x",
        ),
        (
            one("filter_spatial_dict", "ctr_pt_position", [[0, 0, "0"], [1, 1, 1]]),
            "filter_spatial_dict.synapses.ctr_pt_position",
            "a number",
        ),
        (one("filter_regex_dict", "size", "a"), "filter_regex_dict.synapses.size", "not a text"),
        (one("filter_null_dict", "size", 1), "filter_null_dict.synapses.size", "true or false"),
        (one("filter_equal_dict", 'id" = 1; --', 1), 'filter_equal_dict.synapses.id" = 1; --', "no column"),
    ],
)
def test_the_field_is_named_and_what_would_be_right(
    client: FlaskClient, body: dict[str, Any], field: str, hint: str
) -> None:
    answer = post(client, QUERY, body)
    assert answer.status_code == 400, answer.text
    assert answer.json["details"]["field"] == field
    assert hint.lower() in answer.json["message"].lower() and "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({}, "tables", "Missing"),
        ({"tables": []}, "tables", "Length"),
        ({"tables": [["cell_types"]]}, "tables.0", "2"),
        ({"tables": [["cell_types", "id"], ["cell_types", "id"]]}, "tables", "twice"),
        ({"tables": [["cell_types", "target"], ["nuclei", "id"]]}, "tables.cell_types.target", "target_id"),
        ({"tables": [["cell_types", "cell_type"], ["nuclei", "id"]]}, "tables", "cannot equal"),
        ({"tables": [["nuclei", "pt_position"], ["marks", "pt_position"]]}, "tables", "cannot equal"),
        ({"tables": [["cell_types", "target_id"], ["nuclei", "id"]], "suffixes": ["", ""]}, "suffix_map", "differ"),
        (
            {"tables": [["cell_types", "target_id"], ["nuclei", "id"]], "suffix_map": {"x": ""}},
            "suffix_map.x",
            "nuclei",
        ),
    ],
)
def test_a_join_that_cannot_be(client: FlaskClient, body: dict[str, Any], field: str, hint: str) -> None:
    answer = post(client, "version/1/query", body)
    assert answer.status_code == 400 and answer.json["details"]["field"] == field and hint in answer.json["message"]


@pytest.mark.parametrize("text", ["{", "\xff", "[" * 100_000, '"a"', "[1]", "1" * 5000])
def test_a_body_that_is_no_object(client: FlaskClient, text: str) -> None:
    answer = client.post(f"{API}/datastack/{frozen.DATASTACK}/{QUERY}", data=text.encode("latin-1"))
    assert answer.status_code == 400 and answer.json["message"]


def test_a_body_counts_whatever_its_content_type_says(client: FlaskClient) -> None:
    path = f"{API}/datastack/{frozen.DATASTACK}/{QUERY}"
    answer = client.post(path, data=b'{"limit": 2}', content_type="text/plain")
    assert read(answer).num_rows == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("version/3/table/synapses/query", 404),
        ("version/4/table/synapses/query", 410),
        ("version/9/table/synapses/query", 404),
        ("version/1/table/nosuch/query", 404),
        ("version/1/table/synapses%22;%20--/query", 404),
    ],
)
def test_versions_and_tables_that_cannot_be_read(client: FlaskClient, path: str, status: int) -> None:
    assert post(client, path, {}).status_code == status


@pytest.mark.parametrize("text", ["it's", "a\\", "\\'; --", "E'", "$1", "{}", "%s", '"', "'; DROP TABLE marks; --"])
def test_texts_are_only_ever_compared(client: FlaskClient, text: str) -> None:
    for field, value in (("filter_equal_dict", text), ("filter_in_dict", [text, "a"]), ("filter_notin_dict", [text])):
        ask(client, "cell_types", one(field, "cell_type", value, "cell_types"))
    found = ask(client, "cell_types", one("filter_equal_dict", "cell_type", text, "cell_types"))
    assert all(row["cell_type"] == text for row in found)
    assert len(ask(client, "marks", {})) == 30


def test_regular_expressions_that_are_none_or_too_long(client: FlaskClient) -> None:
    for pattern, hint in (("(", "parentheses"), ("a" * 501, "500"), ("\x00", "zero character")):
        answer = post(
            client, "version/1/table/cell_types/query", one("filter_regex_dict", "cell_type", pattern, "cell_types")
        )
        assert answer.status_code == 400 and hint in answer.json["message"]
    assert ask(client, "cell_types", one("filter_regex_dict", "cell_type", "^(a|b)$", "cell_types"))


def test_a_hundred_thousand_ids_are_one_question(client: FlaskClient) -> None:
    started = time.monotonic()
    found = ask(client, "synapses", one("filter_in_dict", "id", list(range(100_000))))
    assert len(found) == 2000 and time.monotonic() - started < 5


def test_a_body_beyond_the_limit(client: FlaskClient) -> None:
    path = f"{API}/datastack/{frozen.DATASTACK}/{QUERY}"
    answer = client.post(path, data=b" " * (65 << 20))
    assert answer.status_code == 413 and answer.json["code"] == 413


def test_a_query_that_takes_too_long_ends(settings: Settings) -> None:
    impatient = create_app(replace(settings, query_timeout=0.001))
    tables = [["synapses", "valid"], ["nuclei", "valid"], ["cell_types", "valid"]]
    answer = post(impatient.test_client(), "version/1/query", {"tables": tables}, "count=True")
    assert answer.status_code == 408 and answer.json["error"] == "query_timeout"
    parts(impatient).close()


def test_a_cut_answer_says_so(settings: Settings) -> None:
    capped = create_app(replace(settings, query_limit=2000))
    cut = post(capped.test_client(), "version/1/table/synapses/query", {})
    assert "X-Row-Limit" not in cut.headers and read(cut).num_rows == 2000
    parts(capped).close()
    capped = create_app(replace(settings, query_limit=100))
    client = capped.test_client()
    for body, whole in (({}, False), ({"limit": 500}, False), ({"limit": 100}, True), ({"offset": 1900}, True)):
        answer = post(client, "version/1/table/synapses/query", body)
        assert read(answer).num_rows == 100
        assert ("X-Row-Limit" in answer.headers) is not whole
        assert ("Limited query to 100 rows" in answer.headers.get("Warning", "")) is not whole
    assert read(post(client, QUERY, {}, "count=True")).to_pylist() == [{"count": 2000}]
    parts(capped).close()


def test_a_database_that_is_down_is_a_503_with_a_time(settings: Settings) -> None:
    away = create_app(replace(settings, database_url="postgresql://nobody:x@127.0.0.1:1/x"))
    client = away.test_client()
    answer = post(client, QUERY, {})
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0 and "nobody:x" not in answer.text
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 503
    parts(away).close()


def test_a_database_that_goes_down_later_is_a_503_as_well(settings: Settings) -> None:
    away = create_app(replace(settings, database_url="postgresql://nobody:x@127.0.0.1:1/x"))
    parts(away).live._met.add(frozen.VOLUME)
    answer = away.test_client().get(f"{API}/datastack/{frozen.DATASTACK}/versions")
    assert answer.status_code == 503 and answer.headers["Retry-After"] and "nobody:x" not in answer.text
    parts(away).close()


def test_what_nobody_foresaw_is_a_500_with_an_id(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("materializationengine.web.versions.version_record", fails)
    monkeypatch.setitem(client.application.config, "PROPAGATE_EXCEPTIONS", False)
    answer = client.get(f"{API}/datastack/{frozen.DATASTACK}/version/1", headers={"X-Request-ID": "mine-1"})
    assert answer.status_code == 500 and "mine-1" in answer.json["message"] and "secret" not in answer.text


def test_health(client: FlaskClient, cluster: Cluster) -> None:
    assert client.get("/health/ready").json == {"database": "ok"}
    assert client.get("/health").json[frozen.VOLUME] == 5
