"""Random questions over one to three tables, through the route, against going through every row."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from . import frozen
from .asking import post, read
from .brute import Asked, Brute, Tables, as_text
from .test_queries import BOOLEANS, INTEGERS, NUMBERS, TEXTS, one_filter

CHAINS: list[list[list[str]]] = [
    [["cell_types", "target_id"], ["nuclei", "id"]],
    [["nuclei", "id"], ["cell_types", "target_id"]],
    [["marks", "valid_id"], ["nuclei", "id"]],
    [["nuclei", "id"], ["cell_types", "target_id"], ["marks", "valid_id"]],
    [["marks", "valid_id"], ["cell_types", "target_id"], ["nuclei", "id"]],
    [["nuclei", "pt_root_id"], ["synapses", "pre_pt_root_id"]],
    [["cell_types", "id"], ["nuclei", "id"], ["synapses", "id"]],
]
"""Tables with the columns that must all equal the first one's."""

UNITS = [None, [1, 1, 1], [4, 4, 40], [8, 8, 40], [0.5, 2, 3], [64, 64, 40]]
SUFFIXES = ["", "_a", "_b"]


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    single = st.sampled_from([[[name, "id"]] for name in frozen.SCHEMAS])
    tables = draw(st.one_of(single, st.sampled_from(CHAINS)))
    asked = Asked(tables, [])
    by_place: dict[tuple[str, str, str], Any] = {}
    for table in draw(st.lists(st.sampled_from(asked.names), max_size=3)):
        kind, column, value = draw(one_filter(table))
        # Later ones of the same place stand, as in any JSON object.
        by_place[kind, table, column] = value
    asked.filters = [(*place, value) for place, value in by_place.items()]
    asked.order = draw(st.lists(orders(asked.names), max_size=3))
    asked.limit, asked.offset = draw(st.none() | st.integers(0, 60)), draw(st.integers(0, 40))
    asked.columns = draw(selections(asked.names))
    asked.suffixes = dict(zip(asked.names, draw(st.permutations(SUFFIXES)), strict=False))
    asked.units = draw(st.sampled_from(UNITS))
    return asked


@st.composite
def orders(draw: st.DrawFn, names: list[str]) -> str:
    kinds = (INTEGERS, NUMBERS, TEXTS, BOOLEANS)
    columns = [column for name in names for kind in kinds for column in kind.get(name, [])]
    return draw(st.sampled_from(["", "-"])) + draw(st.sampled_from(columns))


@st.composite
def selections(draw: st.DrawFn, names: list[str]) -> Any:
    known = {name: columns_of(name) for name in names}
    listed = st.lists(st.sampled_from(sorted({c for all_ in known.values() for c in all_})), min_size=1, unique=True)
    chosen = {name: st.lists(st.sampled_from(known[name]), unique=True) for name in names}
    by_table = st.fixed_dictionaries(chosen).filter(lambda found: any(found.values()))
    return draw(st.one_of(st.none(), listed, by_table))


def columns_of(table: str) -> list[str]:
    """The columns of a table in the order of an answer."""
    return list(EXAMPLES[table])


EXAMPLES: dict[str, frozen.Row] = {name: rows[0] for name, rows in frozen.make_rows().items()}


def tables_of(rows: frozen.Rows) -> Tables:
    return Tables(rows, {name: columns_of(name) for name in EXAMPLES}, frozen.RESOLUTION)


def told_apart(asked: Asked, client: FlaskClient, version: int) -> list[frozen.Row] | None:
    """The answer; None where the names of its columns would not be told apart, which is refused."""
    answer = post(client, asked.path(version), asked.body())
    if answer.status_code == 400 and "twice" in answer.json["message"]:
        return None
    assert answer.status_code == 200, answer.text
    return read(answer).to_pylist()


QUIETLY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIETLY
@given(asked=questions(), version=st.sampled_from([1, 2]))
def test_random_questions_against_every_row(client: FlaskClient, rows: frozen.Rows, asked: Asked, version: int) -> None:
    got = told_apart(asked, client, version)
    if got is None:
        return
    expected = Brute(tables_of(rows), asked).page()
    ordered = len(asked.tables) == 1 or asked.order or asked.limit is not None or asked.offset
    note(f"{asked.path(version)} {asked.body()}")
    assert got == expected if ordered else sorted(map(as_text, got)) == sorted(map(as_text, expected))


@settings(QUIETLY, max_examples=40)
@given(asked=questions(), version=st.sampled_from([1, 2]), size=st.integers(1, 400))
def test_pages_by_cursor_add_up_to_every_row(
    client: FlaskClient, rows: frozen.Rows, asked: Asked, version: int, size: int
) -> None:
    asked.offset, asked.limit = 0, max(size, len(Brute(tables_of(rows), asked).rows()) // 6)
    seen: list[frozen.Row] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = post(client, asked.path(version), {**asked.body(), "after": cursor})
        if answer.status_code == 400 and "twice" in answer.json["message"]:
            return
        assert answer.status_code == 200, answer.text
        seen += read(answer).to_pylist()
        cursor = answer.headers.get("X-Next-Cursor")
    assert seen == Brute(tables_of(rows), asked).rows()


@settings(QUIETLY, max_examples=40)
@given(asked=questions(), version=st.sampled_from([1, 2]), sample=st.none() | st.integers(1, 3000))
def test_counts_and_samples_against_every_row(
    client: FlaskClient, rows: frozen.Rows, asked: Asked, version: int, sample: int | None
) -> None:
    asked.columns, asked.order, asked.limit, asked.offset = None, [], None, 0
    every = Brute(tables_of(rows), asked).rows()
    counted = read(post(client, asked.path(version), asked.body(), "count=true")).to_pylist()
    assert counted == [{"count": len(every)}]
    if sample is None:
        return
    some = read(post(client, asked.path(version), asked.body(), f"random_sample={sample}")).to_pylist()
    known = set(map(as_text, every))
    assert all(as_text(row) in known for row in some)
    assert sample < len(rows[asked.names[0]]) or len(some) == len(every)


@pytest.mark.parametrize("version", [1, 2])
def test_the_brute_force_can_disagree(client: FlaskClient, rows: frozen.Rows, version: int) -> None:
    """The oracle is no mirror: an order that is not asked for is not what comes."""
    asked = Asked([["synapses", "id"]], [], limit=50, suffixes={"synapses": ""})
    got = told_apart(asked, client, version)
    asked.order = ["-id"]
    assert got != Brute(tables_of(rows), asked).page()
