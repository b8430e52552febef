"""Rows as properties of segments, as Neuroglancer reads them: labels, tags and numbers, one entry for each segment.

Facts of the format: github.com/google/neuroglancer, `src/datasource/precomputed/segment_properties.md`.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import BadRequest
from .query_plan import Output, OutputKind, QueryPlan
from .schemas import Role, SqlType

MOST = 250_000
"""Rows of a table that is still answered: a browser holds all of them at once."""

_NUMBERS = {
    OutputKind.INT32: "int32",
    OutputKind.FLOAT32: "float32",
    # A browser knows no longer ones.
    OutputKind.FLOAT64: "float32",
}
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Labels:
    """How a segment is called: a template of columns in braces, or columns side by side."""

    template: str = ""
    columns: tuple[str, ...] = ()

    def checked(self, known: Sequence[str]) -> Labels:
        """The same, of columns that there are. Raises BadRequest naming the argument."""
        for name in self.columns:
            _check("label_columns", name, known)
        for name in _names(self.template):
            _check("label_format", name, known)
        return self

    def of(self, row: Row) -> str:
        """One segment's."""
        if self.template:
            # `str.format` would let a caller walk from a value to whatever it hangs on.
            return "".join(text + _shown(row, name) for text, name in _parts(self.template))
        return " ".join(_shown(row, name) for name in self.columns)


def _shown(row: Row, name: str | None) -> str:
    value = None if name is None else row[name]
    return "" if value is None else str(value)


def _names(template: str) -> list[str]:
    return [name for _, name in _parts(template) if name is not None]


def _parts(template: str) -> Iterator[tuple[str, str | None]]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise BadRequest(f"label_format: {error}", field="label_format") from error
    for text, name, form, conversion in parts:
        if form or conversion:
            raise BadRequest("label_format: only names of columns stand in braces", field="label_format")
        yield text, name


def _check(field: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise BadRequest(f"{field}: there is no column {name!r}; there are {', '.join(known)}", field=field)


def segment_column(plan: QueryPlan) -> Output:
    """The column whose values are segments: the first root. Raises BadRequest where there is none."""
    for output in plan.outputs:
        # A view has columns without roles, so there the name is all that is known.
        called = plan.sources[output.source].view is not None and output.name.endswith("root_id")
        if output.column.role is Role.ROOT or (called and output.column.type is SqlType.BIGINT):
            return output
    raise BadRequest(f"{plan.sources[0].name} has no column of root ids", field="table_name")


def properties(plan: QueryPlan, rows: Sequence[Row], labels: Labels) -> dict[str, Any]:
    """The document of one row for each segment."""
    segment = segment_column(plan).name
    found = [{"id": "label", "type": "label", "values": [labels.of(row) for row in rows]}]
    values = [output for output in plan.outputs if output.axis or output.column.role is Role.VALUE]
    numbers = [output for output in values if output.kind in _NUMBERS]
    tags = _tags([output for output in values if output.kind in (OutputKind.TEXT, OutputKind.BOOLEAN)], numbers, rows)
    if tags["tags"]:
        found.append(tags)
    found += [_number(output, rows) for output in numbers]
    inline = {"ids": [str(row[segment]) for row in rows], "properties": found}
    return {"@type": "neuroglancer_segment_properties", "inline": inline}


def _number(output: Output, rows: Sequence[Row]) -> dict[str, Any]:
    # The format has no word for a missing number; a tag beside the 0 says that it is none.
    values = [row[output.name] or 0 for row in rows]
    return {"id": output.name, "type": "number", "data_type": _NUMBERS[output.kind], "values": values}


def _tags(texts: Sequence[Output], numbers: Sequence[Output], rows: Sequence[Row]) -> dict[str, Any]:
    held = [[*_words(texts, row), *_missing(numbers, row)] for row in rows]
    columns = Counter(text for _, text in {pair for pairs in held for pair in pairs})
    named = [
        sorted({f"{column}:{text}" if columns[text] > 1 else text for column, text in pairs if text}) for pairs in held
    ]
    tags = sorted({tag for each in named for tag in each})
    place = {tag: number for number, tag in enumerate(tags)}
    return {"id": "tags", "type": "tags", "tags": tags, "values": [[place[tag] for tag in each] for each in named]}


def _words(texts: Sequence[Output], row: Row) -> Iterator[tuple[str, str]]:
    """Each text, and the name of each column that is true. A tag has no space and no # before it."""
    for output in texts:
        value = row[output.name]
        if value is True:
            yield output.name, output.name
        elif isinstance(value, str):
            yield output.name, "_".join(value.split()).lstrip("#")


def _missing(numbers: Sequence[Output], row: Row) -> Iterator[tuple[str, str]]:
    for output in numbers:
        if row[output.name] is None:
            yield output.name, f"no_{output.name}"
