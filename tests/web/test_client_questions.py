"""Random questions through the real client, value by value and dtype by dtype, and the odd ones that people ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from materializationengine.domain.schemas import schema
from materializationengine.kernel import moments
from materializationengine.storage.engines import Cluster

from . import frozen
from .brute import Asked, Brute, as_text
from .conftest import Drive
from .test_query_property import questions, tables_of

KINDS = {"size": "Float32", "volume": "Float32", "valid": "boolean", "tag": "boolean"}
KINDS |= {"cell_type": "string", "classification_system": "string"}


@st.composite
def asked_by_client(draw: st.DrawFn) -> tuple[Asked, dict[str, Any]]:
    """A question in the client's words: it knows no order and no test for what is missing."""
    asked = draw(questions().filter(lambda one: "filter_null_dict" not in {field for field, *_ in one.filters}))
    asked.order, asked.limit = [], asked.limit or None
    single = len(asked.tables) == 1
    more = {"split_positions": draw(st.booleans()), "metadata": draw(st.booleans())}
    if single and draw(st.sampled_from([True, False, False, False])):
        more["get_counts"] = True
    if single and "get_counts" not in more and draw(st.sampled_from([True, False, False])):
        more["return_df"] = False
    return asked, {**more, "api": draw(st.sampled_from([3, 3, 2]))}


def call_of(asked: Asked, more: dict[str, Any]) -> dict[str, Any]:
    """The call that asks it."""
    arguments: dict[str, Any] = {name: value for name, value in more.items() if name != "api"}
    single = len(asked.tables) == 1
    for field, table, column, value in asked.filters:
        name = "filter_out_dict" if field == "filter_notin_dict" else field
        places = arguments.setdefault(name, {})
        (places if single else places.setdefault(table, {}))[column] = value
    arguments |= {"select_columns": asked.columns, "limit": asked.limit, "offset": asked.offset}
    arguments["desired_resolution"] = asked.units
    arguments |= {"merge_reference": False} if single else {"suffixes": asked.suffixes}
    given = asked.names[:1] if single else [asked.tables]
    method = "query_table" if single else "join_query"
    return {"method": method, "given": given, "arguments": arguments, "api": more["api"]}


def collected(examples: int) -> list[tuple[Asked, dict[str, Any]]]:
    """That many questions, the same every time."""
    found: list[tuple[Asked, dict[str, Any]]] = []

    @settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(one=asked_by_client())
    def collect(one: tuple[Asked, dict[str, Any]]) -> None:
        found.append(one)

    collect()
    return found


def kind_of(column: str, values: list[Any]) -> str:
    """The dtype of a column of the answer."""
    bare = next((column.removesuffix(suffix) for suffix in ("_a", "_b") if column.endswith(suffix)), column)
    if bare[:-2].removesuffix("_a").removesuffix("_b").endswith("_position"):
        return "Float64" if any(isinstance(value, float) for value in values) else "Int32"
    return KINDS.get(bare, "Int64")


def compare(answer: dict[str, Any], asked: Asked, rows: frozen.Rows, more: dict[str, Any]) -> None:
    """Hold one answer against every row."""
    assert "error" not in answer, (answer, asked)
    brute = Brute(tables_of(rows), asked)
    if more.get("get_counts"):
        assert (answer["rows"], answer["dtypes"]) == ([[len(brute.rows())]], ["int64"])
        return
    expected = brute.page()
    if more.get("return_df") is False:
        got = answer["value"]
    else:
        got = [split(dict(zip(answer["columns"], row, strict=True))) for row in answer["rows"]]
        check_kinds(answer, got, more["split_positions"])
    cut = asked.limit is not None or asked.offset
    close = [as_text(rounded(row)) for row in expected]
    found = [as_text(rounded(row)) for row in got]
    assert found == close if cut or len(asked.tables) == 1 else sorted(found) == sorted(close), (asked, more)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """JSON rows hold doubles, frames 32 bits of them."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}


def split(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a frame with merged positions as one of split ones."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, list):
            out |= {f"{name}_{axis}": each for axis, each in zip("xyz", value, strict=True)}
        else:
            out[name] = value
    return out


def check_kinds(answer: dict[str, Any], got: list[dict[str, Any]], split_positions: bool) -> None:
    for column, kind in zip(answer["columns"], answer["dtypes"], strict=True):
        if split_positions or not column.removesuffix("_a").removesuffix("_b").endswith("_position"):
            assert kind == kind_of(column, [row[column] for row in got]) or (not got and "_position" in column), column
        else:
            assert kind == ("object" if got else "float64"), column


def test_random_questions_through_the_client(drive: Drive, rows: frozen.Rows) -> None:
    cases = collected(150)
    answers = drive("calls.py", calls=[call_of(*case) for case in cases], version=1)
    seen = 0
    for (asked, more), answer in zip(cases, answers, strict=True):
        if "twice" in answer.get("error", ""):
            continue
        compare(answer, asked, rows, more)
        seen += bool(answer.get("rows"))
    assert seen > 40


NAME = "spots"
SPOTS: list[frozen.Row] = [
    {
        "id": n,
        "valid": True,
        "target_id": frozen.make_rows()["nuclei"][n % 40]["id"],
        "pt_position": (float(n), float(2 * n), 5.0),
        "pt_supervoxel_id": frozen.BIG // 5 + n,
        "pt_root_id": frozen.BIG + n % 7,
    }
    for n in range(1, 61)
]
"""A reference table with a point of its own, which bears the name of its target's: every column of it is shared."""

VIEW = """
CREATE VIEW odd AS
SELECT n.id, n.pt_position, 'größe ' || c.cell_type AS "größe", ARRAY[n.id, 2] AS several,
  timestamp '2026-01-02 03:04:05.25' + n.id * interval '1 day' AS seen,
  (timestamp '2026-01-02 03:04:05.25' + n.id * interval '1 day') AT TIME ZONE 'utc' AS aware,
  '{"a": 1}'::jsonb AS more, NULL::varchar(20) AS nothing
FROM nuclei n JOIN cell_types c ON c.target_id = n.id
"""
SEEN = moments.parse("2026-01-02T03:04:05.25")


@pytest.fixture(scope="module")
def more(cluster: Cluster, rows: frozen.Rows) -> Iterator[frozen.Rows]:
    """The table and the view in version 1, taken away again."""
    version, kind = f"{frozen.DATASTACK}__mat1", schema("reference_point")
    with closing(cluster.raw(version)) as connection, connection, connection.cursor() as cursor:
        frozen._fill(cursor, NAME, kind.flat_columns(), SPOTS)
        cursor.execute(VIEW)
    with closing(cluster.raw(frozen.VOLUME)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(frozen._METADATA, ("reference_point", NAME, "nuclei", 4.0, 4.0, 40.0, None))
        cursor.execute(
            "INSERT INTO analysistables (aligned_volume, schema, table_name, valid, created, analysisversion_id)"
            " SELECT %s, 'reference_point', %s, true, %s, id FROM analysisversion WHERE datastack = %s AND version = 1",
            (frozen.VOLUME, NAME, frozen.MOMENT, frozen.DATASTACK),
        )
        cursor.execute(
            "INSERT INTO analysisviews (table_name, description, datastack_name, voxel_resolution_x,"
            " voxel_resolution_y, voxel_resolution_z, live_compatible) VALUES ('odd', 'o', %s, 64, 64, 40, false)",
            (frozen.DATASTACK,),
        )
    yield frozen.Rows({**rows, NAME: SPOTS})
    with closing(cluster.raw(frozen.VOLUME)) as connection, connection, connection.cursor() as cursor:
        for table in ("analysistables", "annotation_table_metadata", "analysisviews"):
            cursor.execute(f"DELETE FROM {table} WHERE table_name IN ('odd', 'spots')")
    with closing(cluster.raw(version)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP VIEW odd; DROP TABLE spots")


def managed(name: str, *given: Any, manager: str = "tables", **filters: Any) -> dict[str, Any]:
    return {"method": "query", "of": [manager, name, filters], "given": list(given), "arguments": {}}


def asked(method: str, *given: Any, **arguments: Any) -> dict[str, Any]:
    return {"method": method, "given": list(given), "arguments": arguments}


LONG = "_" + "x" * 60
JOIN = [["cell_types", "target_id"], ["nuclei", "id"]]
BOX = [[0, 0, 0], [30, 60, 10]]
CALLS: dict[str, dict[str, Any]] = {
    "both points": managed(NAME, pt_ref_root_id=frozen.BIG + 3, id_ref=list(range(40))),
    "box of the reference": managed(NAME, pt_ref_position_bbox=BOX),
    "box of the target": managed(NAME, pt_position_bbox=[[0, 0, 0], [250, 500, 500]]),
    "numbers of the target": managed(NAME, volume={">": 50.0}, pt_ref_root_id=frozen.BIG + 1),
    "merged": asked("query_table", NAME, filter_in_dict={"pt_root_id_ref": [0, frozen.BIG + 2], "id": [*range(50)]}),
    "merged count": asked("query_table", NAME, get_counts=True),
    "merged, older": {**asked("query_table", NAME), "api": 2},
    "not merged": asked("query_table", NAME, merge_reference=False, limit=5, offset=57),
    "letters": asked("join_query", JOIN, suffixes={"cell_types": "_日本", "nuclei": ""}, limit=3),
    "long": asked("join_query", JOIN, suffixes={"cell_types": LONG, "nuclei": ""}, split_positions=True, limit=3),
    "too long": asked("join_query", JOIN, suffixes={"cell_types": "x" * 64, "nuclei": ""}),
    "beyond": asked("join_query", JOIN, suffixes={"cell_types": "", "nuclei": "_b"}, offset=10_000),
    "view": asked("query_view", "odd"),
    "box of a view": managed("odd", manager="views", pt_position_position_bbox=[[0, 0, 0], [250, 500, 500]]),
    "later": asked("query_view", "odd", filter_greater_equal_dict={"seen": {"moment": "2026-04-12T03:04:05.25"}}),
    "aware": asked("query_view", "odd", filter_less_dict={"aware": {"moment": "2026-04-12T04:04:05.25+01:00"}}),
    "no moment": asked("query_view", "odd", filter_equal_dict={"seen": "yesterday"}),
    "words": asked("query_view", "odd", filter_regex_dict={"größe": "^größe (a|b)$"}, select_columns=["id", "größe"]),
    "beyond the view": asked("query_view", "odd", offset=10_000, select_columns=["id", "seen", "pt_position"]),
}


@pytest.fixture(scope="module")
def odd(drive: Drive, more: frozen.Rows) -> dict[str, Any]:
    answers = drive("calls.py", calls=list(CALLS.values()), version=1)
    return dict(zip(CALLS, answers, strict=True))


def of_spots(odd: dict[str, Any], name: str) -> list[tuple[int, int]]:
    """Spot and nucleus of each row."""
    answer = odd[name]
    assert "error" not in answer, answer
    spot, nucleus = ("id_ref", "id") if answer["columns"][0] != "id" else ("id", "id_ref")
    places = [answer["columns"].index(column) for column in (spot, nucleus)]
    return sorted((row[places[0]], row[places[1]]) for row in answer["rows"])


def test_a_reference_table_whose_point_is_called_as_its_target_s(odd: dict[str, Any], rows: frozen.Rows) -> None:
    nuclei = {row["id"]: row for row in rows["nuclei"]}

    def pairs(wanted: Any) -> list[tuple[int, int]]:
        return [(s["id"], s["target_id"]) for s in SPOTS if wanted(s, nuclei[s["target_id"]])]

    def inside(row: frozen.Row, box: list[list[int]]) -> bool:
        return all(low <= v <= high for v, low, high in zip(row["pt_position"], *box, strict=True))

    assert of_spots(odd, "both points") == pairs(lambda s, n: s["pt_root_id"] == frozen.BIG + 3 and s["id"] < 40) != []
    assert of_spots(odd, "box of the reference") == pairs(lambda s, n: inside(s, BOX)) != []
    assert of_spots(odd, "box of the target") == pairs(lambda s, n: n["pt_position"][0] <= 250) != []
    assert of_spots(odd, "numbers of the target") == pairs(
        lambda s, n: (n["volume"] or 0) > 50 and s["pt_root_id"] == frozen.BIG + 1
    )
    assert of_spots(odd, "merged") == pairs(lambda s, n: n["pt_root_id"] in (0, frozen.BIG + 2) and s["id"] < 50) != []
    assert odd["merged count"]["rows"] == [[len(SPOTS)]]
    assert "pt_positionref" in odd["merged, older"]["columns"] and len(odd["merged, older"]["rows"]) == len(SPOTS)
    assert [row[0] for row in odd["not merged"]["rows"]] == [58, 59, 60]


def test_suffixes_of_any_letters(odd: dict[str, Any]) -> None:
    assert {"id_日本", "valid_日本", "id"} <= set(odd["letters"]["columns"])
    assert {f"id{LONG}", f"valid{LONG}", "id"} <= set(odd["long"]["columns"])
    assert "400" in odd["too long"]["error"] and "at most 63 characters" in odd["too long"]["error"]
    beyond = odd["beyond"]
    assert beyond["rows"] == [] and dict(zip(beyond["columns"], beyond["dtypes"], strict=True))["id_b"] == "Int64"


def test_views_of_every_kind_of_column(odd: dict[str, Any], rows: frozen.Rows) -> None:
    view = odd["view"]
    kinds = dict(zip(view["columns"], view["dtypes"], strict=True))
    assert kinds == {
        "id": "Int64",
        "größe": "string",
        "several": "string",
        "seen": "datetime64[ns, UTC]",
        "aware": "datetime64[ns, UTC]",
        "more": "string",
        "nothing": "string",
        "pt_position": "object",
    }
    nuclei = {row["id"]: row for row in rows["nuclei"]}
    known = [(nuclei[c["target_id"]], c["cell_type"]) for c in rows["cell_types"]]
    got = [dict(zip(view["columns"], row, strict=True)) for row in view["rows"]]
    assert sorted((row["id"], row["größe"] or "") for row in got) == sorted(
        (n["id"], f"größe {word}" if word else "") for n, word in known
    )
    for row in got:
        moment = (SEEN + timedelta(days=row["id"])).isoformat()
        assert (row["seen"], row["aware"], row["more"]) == (moment, moment, '{"a": 1}')
        assert row["several"] == f"{{{row['id']},2}}"

    def ids(name: str) -> list[int]:
        assert "error" not in odd[name], odd[name]
        return sorted(row[odd[name]["columns"].index("id")] for row in odd[name]["rows"])

    everywhere = sorted(n["id"] for n, _ in known)
    assert ids("box of a view") == sorted(n["id"] for n, _ in known if n["pt_position"][0] <= 250) != []
    assert ids("later") == [each for each in everywhere if each >= 100] != []
    assert ids("aware") == [each for each in everywhere if each < 100] != []
    assert "needs a moment like" in odd["no moment"]["error"] and "400" in odd["no moment"]["error"]
    assert ids("words") == sorted(n["id"] for n, word in known if word in ("a", "b"))
    assert odd["beyond the view"]["rows"] == [] and "datetime64[ns, UTC]" in odd["beyond the view"]["dtypes"]
