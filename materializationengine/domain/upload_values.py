"""The values of one batch of an upload: checked, and turned into the columns of the two tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import BadCoordinates, BadUpload
from .plan import UploadPlan
from .schemas import Column, Schema, SqlType

Values = Mapping[str, npt.NDArray[Any]]
"""Column name to its values: shape (n,), or (n, 3) for a position."""

_LIMITS = {SqlType.BIGINT: (-(2**63), 2**63 - 1), SqlType.INTEGER: (-(2**31), 2**31 - 1)}
_COORDINATE_LIMIT = 2**31 - 1


def split_columns(upload: UploadPlan, schema: Schema, blocks: list[npt.NDArray[Any]], start: int) -> Values:
    """Blocks of rows, one per source, as checked columns. Raises BadUpload naming file, row and value."""
    columns = {column.name: column for column in schema.flat_columns()}
    values: dict[str, npt.NDArray[Any]] = {}
    for source, block in zip(upload.sources, blocks, strict=True):
        wide = block.reshape(len(block), -1)
        place = 0
        for name in source.columns:
            width = 3 if name and columns[name].type is SqlType.POINTZ else 1
            if name:
                part = wide[:, place : place + width]
                values[name] = _checked(part if width == 3 else part[:, 0], columns[name], source.file.name, start)
            place += width
    return values


def _checked(values: npt.NDArray[Any], column: Column, file: str, start: int) -> npt.NDArray[Any]:
    if column.type is SqlType.POINTZ:
        _refuse(~_placed(values), values, file, column, start, BadCoordinates)
        return values.astype(np.float64)
    if column.type in _LIMITS:
        low, high = _LIMITS[column.type]
        # A uint64 compares with Python integers exactly, where a cast would wrap.
        _refuse((values < low) | (values > high), values, file, column, start, BadUpload)
        return values.astype(np.int64 if column.type is SqlType.BIGINT else np.int32)
    if column.type is SqlType.TEXT:
        return _text(values, column, file, start)
    return values.astype(np.float64) if column.type is SqlType.DOUBLE else values


def _placed(points: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    inside = np.isfinite(points) & (np.abs(points.astype(np.float64)) <= _COORDINATE_LIMIT)
    mask: npt.NDArray[np.bool_] = inside.all(axis=1)
    return mask


def _text(values: npt.NDArray[Any], column: Column, file: str, start: int) -> npt.NDArray[Any]:
    text = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    if column.choices:
        _refuse(~np.isin(text, column.choices), text, file, column, start, BadUpload)
    return text


def _refuse(
    bad: npt.NDArray[np.bool_],
    values: npt.NDArray[Any],
    file: str,
    column: Column,
    start: int,
    error: type[BadUpload | BadCoordinates],
) -> None:
    wrong = np.flatnonzero(bad)
    if len(wrong):
        row = int(wrong[0])
        allowed = f"; allowed: {', '.join(map(str, column.choices))}" if column.choices else ""
        raise error(
            f"{file} row {start + row}: {values[row].tolist()!r} cannot be a {column.name} "
            f"({column.type.value}{allowed})",
            field=column.name,
            row=start + row,
        )
