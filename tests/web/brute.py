"""The answer to a question by going through every row: no SQL, and nothing of the engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import frozen
from .asking import flat, holds


@dataclass(frozen=True)
class Tables:
    """Rows of tables in the order in which answers have them, with the columns and the resolution of each table."""

    rows: Mapping[str, list[frozen.Row]]
    columns: Mapping[str, list[str]]
    resolution: Mapping[str, tuple[float, float, float]]


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

    def live_body(self, timestamp: str) -> dict[str, Any]:
        """The same, asked of a moment: each further table is joined to the first one."""
        (first, column), *others = self.tables
        body = {name: value for name, value in self.body().items() if name not in ("tables", "suffix_map")}
        joins = [[first, column, other, its] for other, its in others]
        return {**body, "table": first, "timestamp": timestamp, "join_tables": joins, "suffixes": self.suffixes}


class Brute:
    """The answer by going through every row."""

    def __init__(self, tables: Tables, asked: Asked) -> None:
        self._tables, self._rows, self._asked = tables, tables.rows, asked

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
        return next((n, column) for n, name in enumerate(self._asked.names) if column in self._columns(name))

    def _passes(self, pair: list[tuple[int, frozen.Row]], kind: str, table: str, column: str, value: Any) -> bool:
        return holds(pair[self._asked.names.index(table)][1], kind, column, value)

    def _output(self, pair: list[frozen.Row]) -> frozen.Row:
        selected = [self._selected(name) for name in self._asked.names]
        shared = {c for one, other in itertools.combinations(selected, 2) for c in one if c in other}
        out: frozen.Row = {}
        resolution = self._tables.resolution
        units = self._asked.units or resolution[self._asked.names[-1]]
        for name, row, columns in zip(self._asked.names, pair, selected, strict=True):
            scales = [have / want for have, want in zip(resolution[name], units, strict=True)]
            for column in columns:
                suffix = (self._asked.suffixes or {})[name] if column in shared else ""
                values = flat({column: row[column]})
                for key, value in values.items():
                    out[renamed(key, column, suffix)] = scaled(key, column, value, scales)
        return out

    def _columns(self, table: str) -> list[str]:
        return list(self._tables.columns[table])

    def _selected(self, table: str) -> list[str]:
        chosen = self._asked.columns
        if chosen is None:
            return self._columns(table)
        names = chosen.get(table, []) if isinstance(chosen, dict) else [c for c in chosen if c in self._columns(table)]
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
