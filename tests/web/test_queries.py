"""Queries of frozen versions against looking at every row."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materializationengine.storage import first_rows

from . import frozen
from .asking import ask, flat, holds, join, post, read

INTEGERS = {
    "synapses": ["id", "pre_pt_root_id", "post_pt_root_id", "pre_pt_supervoxel_id"],
    "nuclei": ["id", "pt_root_id"],
    "cell_types": ["id", "target_id"],
    "marks": ["id", "valid_id"],
}
NUMBERS = {"synapses": ["size"], "nuclei": ["volume"]}
TEXTS = {"cell_types": ["cell_type", "classification_system"]}
BOOLEANS = {"marks": ["tag"]}
POSITIONS = {
    "synapses": ["pre_pt_position", "ctr_pt_position"],
    "nuclei": ["pt_position", "bb_start_position"],
    "marks": ["pt_position"],
}
LISTS = ["filter_in_dict", "filter_notin_dict", "filter_out_dict"]
ORDERS = ["filter_greater_dict", "filter_less_dict", "filter_greater_equal_dict", "filter_less_equal_dict"]
ids = st.one_of(
    st.integers(0, 40), st.integers(frozen.BIG, frozen.BIG + 25), st.integers(-(2**63), 2**63 - 1), st.integers(0, 6000)
)
floats = st.one_of(st.integers(-5, 105), st.floats(-1, 101, width=32), st.floats(allow_nan=False, allow_infinity=False))
texts = st.one_of(
    st.sampled_from(["a", "b", "it's", "c\\d", "x"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5),
)


@st.composite
def filters(draw: st.DrawFn) -> tuple[str, list[tuple[str, str, Any]]]:
    """A table and up to three filters on it."""
    table = draw(st.sampled_from(sorted(frozen.SCHEMAS)))
    return table, draw(st.lists(one_filter(table), max_size=3))


@st.composite
def one_filter(draw: st.DrawFn, table: str) -> tuple[str, str, Any]:
    kinds = [(c, ids) for c in INTEGERS[table]] + [(c, floats) for c in NUMBERS.get(table, [])]
    kinds += [(c, texts) for c in TEXTS.get(table, [])] + [(c, st.booleans()) for c in BOOLEANS.get(table, [])]
    if table in POSITIONS and draw(st.booleans()):
        corners = st.tuples(*[st.tuples(st.floats(-10, 1000), st.floats(-10, 1000)).map(sorted)] * 3)
        return (
            "filter_spatial_dict",
            draw(st.sampled_from(POSITIONS[table])),
            draw(corners.map(lambda c: [list(p) for p in zip(*c, strict=True)])),
        )
    column, values = draw(st.sampled_from(kinds))
    field = draw(
        st.sampled_from(
            [
                *LISTS,
                "filter_equal_dict",
                "filter_null_dict",
                *(ORDERS if column not in BOOLEANS.get(table, []) and values is not texts else []),
            ]
        )
    )
    if field == "filter_null_dict":
        return field, column, draw(st.booleans())
    return field, column, draw(st.lists(values, max_size=5) if field in LISTS else values)


def body_of(table: str, asked: list[tuple[str, str, Any]]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for field, column, value in asked:
        body.setdefault(field, {}).setdefault(table, {})[column] = value
    return body


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    question=filters(),
    version=st.sampled_from([1, 2]),
    page=st.tuples(st.none() | st.integers(0, 50), st.integers(0, 300)),
)
def test_filters_against_every_row(
    client: FlaskClient, rows: frozen.Rows, question: Any, version: int, page: Any
) -> None:
    table, asked = question
    limit, offset = page
    body = body_of(table, asked)
    # Twice the same field and column: the later one stands, as in any JSON object.
    final = [(field, column, value) for field, tables in body.items() for column, value in tables[table].items()]
    expected = [flat(row) for row in rows[table] if all(holds(row, *each) for each in final)]
    expected = expected[offset:] if limit is None else expected[offset : offset + limit]
    assert ask(client, table, {**body, "limit": limit, "offset": offset}, version) == expected


@pytest.mark.parametrize("limit", [None, 0, 4, 5, 6, 40])
def test_where_few_rows_are_expected_all_come_however_many(
    client: FlaskClient, rows: frozen.Rows, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr(first_rows, "FEW", 5)
    for root in (frozen.BIG + 1, 1):
        body = {"filter_equal_dict": {"synapses": {"pre_pt_root_id": root}}, "limit": limit}
        expected = [flat(row) for row in rows["synapses"] if row["pre_pt_root_id"] == root]
        assert len(expected) > 6 or root == 1
        assert ask(client, "synapses", body) == expected[:limit]


def test_without_a_filter_every_row_comes_in_the_order_in_which_it_lies(client: FlaskClient, rows: frozen.Rows) -> None:
    for table in frozen.SCHEMAS:
        assert ask(client, table, {}) == ask(client, table, {}, version=2) == [flat(row) for row in rows[table]]


def test_pages_add_up_whatever_index_serves_the_filter(client: FlaskClient, rows: frozen.Rows) -> None:
    body = {"filter_in_dict": {"synapses": {"pre_pt_root_id": [frozen.BIG + n for n in range(3)]}}}
    whole = ask(client, "synapses", body)
    pages = [
        row
        for offset in range(0, len(whole) + 20, 20)
        for row in ask(client, "synapses", {**body, "limit": 20, "offset": offset})
    ]
    assert len(whole) > 40 and pages == whole


@pytest.mark.parametrize("version", [1, 2])
def test_columns_as_selected_and_a_root_brings_its_supervoxel(
    client: FlaskClient, rows: frozen.Rows, version: int
) -> None:
    got = ask(
        client,
        "synapses",
        {"select_columns": ["size", "post_pt_root_id", "ctr_pt_position", "id"], "limit": 3},
        version,
    )
    first = flat(rows["synapses"][0])
    names = ["size", "post_pt_supervoxel_id", "post_pt_root_id", *(f"ctr_pt_position_{axis}" for axis in "xyz"), "id"]
    assert list(got[0]) == names and got[0] == {name: first[name] for name in names}


@pytest.mark.parametrize("version", [1, 2])
def test_count(client: FlaskClient, rows: frozen.Rows, version: int) -> None:
    body = {"filter_equal_dict": {"synapses": {"post_pt_root_id": 0}}, "limit": 1}
    expected = sum(row["post_pt_root_id"] == 0 for row in rows["synapses"])
    assert ask(client, "synapses", body, version, "count=True") == [{"count": expected}]


@pytest.mark.parametrize(
    ("resolution", "factors", "kind"),
    [
        ([4, 4, 40], (1, 1, 1), pa.int32()),
        ([1, 1, 1], (4, 4, 40), pa.int32()),
        ([8, 8, 40], (0.5, 0.5, 1), pa.float64()),
    ],
)
def test_positions_in_the_resolution_asked_for(
    client: FlaskClient, rows: frozen.Rows, resolution: list[float], factors: tuple[float, ...], kind: pa.DataType
) -> None:
    body = {"desired_resolution": resolution, "select_columns": ["id", "pre_pt_position"]}
    answer = post(client, "version/1/table/synapses/query", body)
    table = read(answer)
    assert answer.headers["dataframe_resolution"] == ", ".join(str(float(unit)) for unit in resolution)
    assert [table.schema.field(f"pre_pt_position_{axis}").type for axis in "xyz"] == [kind] * 3
    for row, known in zip(table.to_pylist(), rows["synapses"], strict=True):
        assert [row[f"pre_pt_position_{axis}"] for axis in "xyz"] == [
            v * f for v, f in zip(known["pre_pt_position"], factors, strict=True)
        ]


def joined(rows: frozen.Rows) -> list[frozen.Row]:
    """cell_types joined to nuclei, names that both have marked on the side of nuclei."""
    nuclei = {row["id"]: flat(row) for row in rows["nuclei"]}
    return [
        {
            **flat(cell),
            **{name + ("_ref" if name in ("id", "valid") else ""): v for name, v in nuclei[cell["target_id"]].items()},
        }
        for cell in rows["cell_types"]
    ]


JOIN = {"tables": [["cell_types", "target_id"], ["nuclei", "id"]], "suffix_map": {"cell_types": "", "nuclei": "_ref"}}


def by_id(found: list[frozen.Row]) -> list[frozen.Row]:
    return sorted(found, key=lambda row: row["id"])


@pytest.mark.parametrize("version", [1, 2])
def test_a_reference_table_with_its_target(client: FlaskClient, rows: frozen.Rows, version: int) -> None:
    assert by_id(join(client, JOIN, version)) == by_id(joined(rows))


@pytest.mark.parametrize("version", [1, 2])
def test_pages_of_a_join_add_up(client: FlaskClient, rows: frozen.Rows, version: int) -> None:
    pages = [
        row for offset in range(0, 160, 7) for row in join(client, {**JOIN, "limit": 7, "offset": offset}, version)
    ]
    assert pages == joined(rows)


@pytest.mark.parametrize("version", [1, 2])
def test_a_filter_on_the_target_keyed_by_the_table_that_refers(
    client: FlaskClient, rows: frozen.Rows, version: int
) -> None:
    body = {
        **JOIN,
        "filter_in_dict": {"cell_types": {"cell_type": ["a", "it's"]}},
        "filter_spatial_dict": {"cell_types": {"pt_position": [[0, 0, 0], [400, 400, 400]]}},
        "filter_greater_dict": {"cell_types": {"pt_supervoxel_id": frozen.BIG // 2 + 50}},
    }
    expected = [
        row
        for row in joined(rows)
        if row["cell_type"] in ("a", "it's")
        and all(row[f"pt_position_{axis}"] <= 400 for axis in "xyz")
        and row["pt_supervoxel_id"] > frozen.BIG // 2 + 50
    ]
    assert expected and by_id(join(client, body, version)) == by_id(expected)


def test_suffixes_by_place_and_columns_by_table(client: FlaskClient) -> None:
    body = {
        "tables": JOIN["tables"],
        "select_column_map": {"cell_types": ["id", "cell_type"], "nuclei": ["id", "pt_position"]},
        "limit": 1,
    }
    answer = post(client, "version/1/query", body)
    assert read(answer).column_names == ["idx", "cell_type", "idy", "pt_position_x", "pt_position_y", "pt_position_z"]
    assert json.loads(answer.headers["X-Column-Names"]) == {
        "cell_types": {"id": "idx", "cell_type": "cell_type"},
        "nuclei": {"id": "idy", "pt_position": "pt_position"},
    }
    assert answer.headers["dataframe_resolution"] == "64.0, 64.0, 40.0"


def test_three_tables(client: FlaskClient, rows: frozen.Rows) -> None:
    tables = [["nuclei", "id"], ["cell_types", "target_id"], ["marks", "valid_id"]]
    names = {"nuclei": ["id"], "cell_types": ["cell_type"], "marks": ["tag"]}
    got = join(client, {"tables": tables, "select_column_map": names})
    expected = [
        {"id": n["id"], "cell_type": c["cell_type"], "tag": m["tag"]}
        for n in rows["nuclei"]
        for c in rows["cell_types"]
        for m in rows["marks"]
        if n["id"] == c["target_id"] == m["valid_id"]
    ]
    assert expected and sorted(map(str, got)) == sorted(map(str, expected))


def test_a_sample_is_of_rows_that_are_there(client: FlaskClient, rows: frozen.Rows) -> None:
    whole = {row["id"] for row in rows["synapses"]}
    some = {row["id"] for row in ask(client, "synapses", {}, options="random_sample=500")}
    assert 350 < len(some) < 650 and some < whole
    assert len(ask(client, "synapses", {}, options="random_sample=5000")) == len(whole)


def test_json_rows(client: FlaskClient, rows: frozen.Rows) -> None:
    answer = post(client, "version/1/table/nuclei/query", {"limit": 40}, "return_pyarrow=False")
    assert answer.content_type == "application/json"
    expected = [flat(row) | {"volume": row["volume"]} for row in rows["nuclei"][:40]]
    assert answer.json == expected
    nothing = post(client, "version/1/table/nuclei/query", {"limit": 0}, "return_pyarrow=False")
    assert nothing.json == []


@pytest.mark.parametrize(("accepted", "codec"), [("zstd", "zstd"), ("lz4, zstd", "lz4"), ("gzip", None), ("", None)])
def test_batches_are_compressed_as_the_client_reads_them(client: FlaskClient, accepted: str, codec: str | None) -> None:
    path, headers = "version/1/table/synapses/query", {"Accept-Encoding": accepted}
    answer = post(client, path, {}, **headers)
    assert read(answer).num_rows == 2000
    sizes = {name: len(post(client, path, {}, **{"Accept-Encoding": name}).data) for name in ("zstd", "lz4", "")}
    assert len(answer.data) == sizes[codec or ""] and sizes["zstd"] < sizes[""]
    assert len(post(client, path, {}, "ipc_compress=False", **headers).data) == sizes[""]


def test_an_empty_answer_keeps_its_columns(client: FlaskClient) -> None:
    table = read(post(client, "version/1/table/synapses/query", {"filter_equal_dict": {"synapses": {"id": -1}}}))
    assert table.num_rows == 0 and table.schema.field("pre_pt_root_id").type == pa.int64()
    columns = json.loads(table.schema.metadata[b"pandas"])["columns"]
    assert {c["name"]: c["numpy_type"] for c in columns}["size"] == "Float32"


def test_a_public_datastack_reads_its_parent_s_rows(client: FlaskClient, rows: frozen.Rows) -> None:
    path = f"/materialize/api/v3/datastack/{frozen.PUBLIC}/version/5/table/%s/query"
    assert read(client.post(path % "nuclei", json={})).num_rows == len(rows["nuclei"])
    assert client.post(path % "synapses", json={}).status_code == 404


LIVE = "/materialize/api/v3/datastack/{}/query"


@pytest.mark.usefixtures("rows")
def test_a_public_datastack_shows_its_version_whatever_moment_is_asked(client: FlaskClient) -> None:
    def asked(table: str, moment: str) -> Any:
        return client.post(LIVE.format(frozen.PUBLIC), json={"table": table, "timestamp": moment})

    answer = asked("nuclei", "2030-01-01")
    assert answer.headers["X-Effective-Timestamp"] == frozen.MOMENT.isoformat()
    assert read(answer).num_rows == 200
    hidden = asked("synapses", "2030-01-01")
    assert hidden.status_code == 404 and "synapses" not in hidden.json["message"].partition("; there are")[2]
    assert asked("nuclei", "2020-01-01").status_code == 410
    texts = client.get(f"/materialize/api/v3/datastack/{frozen.PUBLIC}/table/cell_types/unique_string_values")
    assert set(texts.json["cell_type"]) == {"a", "b", "it's", "c\\d", None}
    shut = client.get(f"/materialize/api/v3/datastack/{frozen.PUBLIC}/table/synapses/unique_string_values")
    assert shut.status_code == 404


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"table": "synapses"}, "timestamp"),
        ({"table": "synapses", "timestamp": 5}, "timestamp"),
        ({"table": "synapses", "timestamp": "NaN"}, "timestamp"),
        ({"table": "synapses", "timestamp": "2026-01-01", "joins": []}, "joins"),
        ({"table": "a", "timestamp": "2026-01-01", "join_tables": [["a", "x", "b"]]}, "join_tables.0"),
        ({"table": "a", "timestamp": "2026-01-01", "join_tables": [["b", "x", "c", "y"]]}, "join_tables"),
        ({"table": "a", "timestamp": "2026-01-01", "join_tables": [["a", "x", "a", "y"]]}, "join_tables"),
    ],
)
def test_a_moment_badly_asked_is_refused(client: FlaskClient, body: dict[str, Any], field: str) -> None:
    answer = client.post(LIVE.format(frozen.DATASTACK), json=body)
    assert answer.status_code == 400 and answer.json["details"]["field"] == field, answer.text
