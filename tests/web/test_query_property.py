"""Random questions over one to three tables, through the route, against going through every row."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from . import frozen
from .asking import flat, holds, post, read
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


@dataclass
class Asked:
    """A question, in the words of the API and for the brute force."""

    tables: list[list[str]]
    filters: list[tuple[str, str, str, Any]]
    order: list[str] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    columns: Any = None
    suffixes: dict[str, str] | None = None
    units: list[float] | None = None

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.tables]

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"order_by": self.order, "limit": self.limit, "offset": self.offset}
        body |= {"suffix_map": self.suffixes, "desired_resolution": self.units}
        body["select_column_map" if isinstance(self.columns, dict) else "select_columns"] = self.columns
        for kind, table, column, value in self.filters:
            body.setdefault(kind, {}).setdefault(table, {})[column] = value
        return body if len(self.tables) == 1 else {**body, "tables": self.tables}

    def path(self, version: int) -> str:
        one = f"table/{self.names[0]}/" if len(self.tables) == 1 else ""
        return f"version/{version}/{one}query"


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


class Brute:
    """The answer by going through every row."""

    def __init__(self, rows: frozen.Rows, asked: Asked) -> None:
        self._rows, self._asked = rows, asked

    def rows(self) -> list[frozen.Row]:
        """All rows that pass, each with its place in every table, in the order asked."""
        found = [pair for pair in self._joined() if all(self._passes(pair, *each) for each in self._asked.filters)]
        found.sort(key=lambda pair: [place for place, _ in pair])
        for text in reversed(self._asked.order):
            table, column = self._of(text.removeprefix("-"))
            values: list[list[Any]] = [[], []]
            for pair in found:
                values[pair[table][1][column] is None].append(pair)
            # Python's sort leaves equal ones as they were, reversed or not: ties stay in the order before.
            values[0].sort(key=by(table, column), reverse=text.startswith("-"))
            found = values[0] + values[1]
        return [self._output([row for _, row in pair]) for pair in found]

    def page(self) -> list[frozen.Row]:
        """Those of the page asked for."""
        found, asked = self.rows(), self._asked
        return found[asked.offset :] if asked.limit is None else found[asked.offset : asked.offset + asked.limit]

    def _joined(self) -> Iterator[list[tuple[int, frozen.Row]]]:
        (first, column), *others = self._asked.tables
        for place, row in enumerate(self._rows[first]):
            matches = [
                [(n, r) for n, r in enumerate(self._rows[name]) if r[its] is not None and r[its] == row[column]]
                for name, its in others
            ]
            for rest in itertools.product(*matches):
                yield [(place, row), *rest]

    def _of(self, column: str) -> tuple[int, str]:
        return next((n, column) for n, name in enumerate(self._asked.names) if column in EXAMPLES[name])

    def _passes(self, pair: list[tuple[int, frozen.Row]], kind: str, table: str, column: str, value: Any) -> bool:
        return holds(pair[self._asked.names.index(table)][1], kind, column, value)

    def _output(self, pair: list[frozen.Row]) -> frozen.Row:
        selected = [self._selected(name) for name in self._asked.names]
        shared = {c for one, other in itertools.combinations(selected, 2) for c in one if c in other}
        out: frozen.Row = {}
        units = self._asked.units or frozen.RESOLUTION[self._asked.names[-1]]
        for name, row, columns in zip(self._asked.names, pair, selected, strict=True):
            scales = [have / want for have, want in zip(frozen.RESOLUTION[name], units, strict=True)]
            for column in columns:
                suffix = (self._asked.suffixes or {})[name] if column in shared else ""
                values = flat({column: row[column]})
                for key, value in values.items():
                    out[renamed(key, column, suffix)] = scaled(key, column, value, scales)
        return out

    def _selected(self, table: str) -> list[str]:
        chosen = self._asked.columns
        if chosen is None:
            return columns_of(table)
        names = chosen[table] if isinstance(chosen, dict) else [c for c in chosen if c in EXAMPLES[table]]
        found: list[str] = []
        for name in names:
            brought = name.replace("_root_id", "_supervoxel_id")
            if brought != name and brought not in names:
                found.append(brought)
            found.append(name)
        return found


def by(table: int, column: str) -> Callable[[Any], Any]:
    return lambda pair: pair[table][1][column]


def renamed(key: str, column: str, suffix: str) -> str:
    return column + suffix + key.removeprefix(column)


def scaled(key: str, column: str, value: Any, scales: list[float]) -> Any:
    if key == column or value is None:
        return value
    return value * scales["xyz".index(key[-1])]


def as_text(row: frozen.Row) -> str:
    """A row as it can be sorted; 44.0 and 44 are one number."""
    whole = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in row.items()}
    return str(sorted(whole.items()))


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
    expected = Brute(rows, asked).page()
    ordered = len(asked.tables) == 1 or asked.order or asked.limit is not None or asked.offset
    note(f"{asked.path(version)} {asked.body()}")
    assert got == expected if ordered else sorted(map(as_text, got)) == sorted(map(as_text, expected))


@settings(QUIETLY, max_examples=40)
@given(asked=questions(), version=st.sampled_from([1, 2]), size=st.integers(1, 400))
def test_pages_by_cursor_add_up_to_every_row(
    client: FlaskClient, rows: frozen.Rows, asked: Asked, version: int, size: int
) -> None:
    asked.offset, asked.limit = 0, max(size, len(Brute(rows, asked).rows()) // 6)
    seen: list[frozen.Row] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = post(client, asked.path(version), {**asked.body(), "after": cursor})
        if answer.status_code == 400 and "twice" in answer.json["message"]:
            return
        assert answer.status_code == 200, answer.text
        seen += read(answer).to_pylist()
        cursor = answer.headers.get("X-Next-Cursor")
    assert seen == Brute(rows, asked).rows()


@settings(QUIETLY, max_examples=40)
@given(asked=questions(), version=st.sampled_from([1, 2]), sample=st.none() | st.integers(1, 3000))
def test_counts_and_samples_against_every_row(
    client: FlaskClient, rows: frozen.Rows, asked: Asked, version: int, sample: int | None
) -> None:
    asked.columns, asked.order, asked.limit, asked.offset = None, [], None, 0
    every = Brute(rows, asked).rows()
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
    assert got != Brute(rows, asked).page()
