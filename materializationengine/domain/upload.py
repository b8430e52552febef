"""A bulk upload thought through before a row is read: files, their shapes, and the columns they fill."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from .errors import BadUpload
from .plan import ColumnSource
from .ports import ColumnFile
from .schemas import Column, Role, Schema, SqlType

ColumnMapping = Mapping[str, str | Sequence[str]]
"""File name, with or without `.npy`, to one column or to several in the order of the file's second axis."""

_SUFFIX = ".npy"
_KINDS = {
    SqlType.BIGINT: "iu",
    SqlType.INTEGER: "iu",
    SqlType.DOUBLE: "iuf",
    SqlType.POINTZ: "iuf",
    SqlType.BOOLEAN: "b",
    SqlType.TEXT: "US",
}
_WORDS = {"iu": "whole numbers", "iuf": "numbers", "b": "booleans", "US": "strings of fixed length"}
_ENGINES = frozenset({Role.CREATED, Role.DELETED, Role.SUPERSEDED})


class Headers(Protocol):
    """What is asked of the folder while planning."""

    def header(self, name: str) -> ColumnFile:
        """Shape and type of one file."""
        ...


def plan_sources(
    schema: Schema, mapping: ColumnMapping, listing: Sequence[str], folder: Headers, *, keep_roots: bool
) -> tuple[tuple[ColumnSource, ...], int]:
    """Match a mapping with the files of a folder and a schema's columns; returns the sources and their rows.

    Root ids whose moment nobody gave are left out (`keep_roots`): they would be vouched for without cause.
    Raises BadUpload naming the file or column at fault and what would be right.
    """
    columns = {column.name: column for column in schema.flat_columns() if column.role not in _ENGINES}
    sources = [_source(name, targets, listing, folder, columns) for name, targets in mapping.items()]
    _check_once(sources)
    _check_complete(sources, columns.values())
    rows = _common_rows(sources)
    if not keep_roots:
        sources = [source for source in (_without_roots(s, columns) for s in sources) if source is not None]
    return tuple(sources), rows


def _source(
    name: str,
    targets: str | Sequence[str],
    listing: Sequence[str],
    folder: Headers,
    columns: Mapping[str, Column],
) -> ColumnSource:
    file = folder.header(_file_name(name, listing))
    wanted = (targets,) if isinstance(targets, str) else tuple(targets)
    for target in wanted:
        _check_column(file, target, columns)
    _check_shape(file, wanted, columns)
    return ColumnSource(file, wanted)


def _file_name(name: str, listing: Sequence[str]) -> str:
    full = name if name.endswith(_SUFFIX) else name + _SUFFIX
    if full in listing:
        return full
    near = difflib.get_close_matches(full, listing, n=1, cutoff=0.3)
    hint = f"the nearest is {near[0]}" if near else f"the folder holds {', '.join(listing) or 'no .npy file'}"
    raise BadUpload(f"column mapping: there is no file {full}; {hint}", field="column_mapping")


def _check_column(file: ColumnFile, target: str, columns: Mapping[str, Column]) -> None:
    column = columns.get(target)
    if column is None:
        near = difflib.get_close_matches(target, columns, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(columns)}"
        raise BadUpload(f"column mapping: {file.name} fills {target}, which the schema has not; {hint}", field=target)
    allowed = _KINDS[column.type]
    if np.dtype(file.dtype).kind not in allowed:
        raise BadUpload(f"{file.name} holds {file.dtype}; column {target} takes {_WORDS[allowed]}", field=target)


def _check_shape(file: ColumnFile, targets: tuple[str, ...], columns: Mapping[str, Column]) -> None:
    width = sum(3 if columns[target].type is SqlType.POINTZ else 1 for target in targets)
    if len(file.shape) not in (1, 2) or file.width != width:
        wanted = f"(n, {width})" if width > 1 else "(n,)"
        raise BadUpload(
            f"{file.name} has shape {file.shape}; for {', '.join(targets)} it must have shape {wanted}",
            field=targets[0],
        )


def _check_once(sources: Sequence[ColumnSource]) -> None:
    filled: dict[str, str] = {}
    for source in sources:
        for column in source.columns:
            if column in filled:
                raise BadUpload(
                    f"column mapping: {filled[column]} and {source.file.name} both fill {column}",
                    field=column,
                )
            filled[column] = source.file.name


def _check_complete(sources: Sequence[ColumnSource], columns: object) -> None:
    filled = {column for source in sources for column in source.columns}
    lacking = [c.name for c in columns if c.required and not c.is_segmentation and c.name not in filled]  # type: ignore[attr-defined]
    if lacking:
        raise BadUpload(
            f"column mapping: no file fills {', '.join(lacking)}, which the schema requires", field=lacking[0]
        )


def _common_rows(sources: Sequence[ColumnSource]) -> int:
    lengths = {source.file.name: source.file.rows for source in sources}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {rows}" for name, rows in lengths.items())
        raise BadUpload(f"files of different lengths: {told} rows; every file must hold the same rows")
    return next(iter(lengths.values()))


def _without_roots(source: ColumnSource, columns: Mapping[str, Column]) -> ColumnSource | None:
    """A file of root ids only is not read; one column among others keeps its place and is marked as skipped."""
    kept = tuple("" if columns[name].role is Role.ROOT else name for name in source.columns)
    return ColumnSource(source.file, kept) if any(kept) else None
