# ruff: noqa: N815 - fields are spelled as the columns are
"""The records of the API as named tuples, and the way between lists of them and columns.

Moments are naive UTC `datetime`s in the tuples and `timestamp[us]` in the columns; aware ones are converted.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from .errors import BadRecords
from .tables import DIA_SOURCE, FULL_OBJECT, SHORT_OBJECT, TableDef


class Visit(NamedTuple):
    """One visit, and the largest ids in use when it was over."""

    visitId: int
    visitTime: datetime
    lastObjectId: int | None = None
    lastSourceId: int | None = None


# A class body cannot take its fields from the tables; the functional form can.
DiaObject_short = namedtuple("DiaObject_short", SHORT_OBJECT)  # type: ignore[misc]
DiaObject = namedtuple("DiaObject", FULL_OBJECT)  # type: ignore[misc]
DiaSource = namedtuple(
    "DiaSource",
    "diaSourceId ccdVisitId diaObjectId prv_procOrder midPointTai ra raSigma decl declSigma ra_decl_Cov "
    "x xSigma y ySigma x_y_Cov apFlux apFluxErr snr flags htmId20",
)
DiaSource_full = namedtuple("DiaSource_full", DIA_SOURCE.names)  # type: ignore[misc]
DiaForcedSource = namedtuple("DiaForcedSource", "diaObjectId ccdVisitId psFlux psFluxSigma x y flags")

Record = TypeVar("Record", bound=tuple[Any, ...])


def naive_utc(moment: datetime) -> datetime:
    """The moment as tables hold it; a naive one counts as UTC already."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def to_columns(records: Sequence[Any], kind: type[Any], table: TableDef) -> pa.Table:
    """Columns of a list of named tuples of class `kind`. Raises BadRecords naming the column that fails."""
    names: tuple[str, ...] = kind._fields
    if any(len(record) != len(names) for record in records):
        raise BadRecords(f"{table.name} takes {kind.__name__} records of {len(names)} fields")
    columns = zip(*records, strict=True) if records else ((),) * len(names)
    return pa.table(
        {name: _array(table, name, values) for name, values in zip(names, columns, strict=True)},
        schema=table.arrow(names),
    )


def _array(table: TableDef, name: str, values: Iterable[Any]) -> pa.Array:
    column = table.by_name[name]
    if column.kind == "T":
        values = [naive_utc(value) if isinstance(value, datetime) else value for value in values]
    try:
        return pa.array(list(values), column.arrow)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise BadRecords(f"{table.name}.{name} cannot hold these values: {str(error).splitlines()[0]}") from error


def to_records(columns: pa.Table, kind: type[Record]) -> list[Record]:
    """Named tuples of class `kind`, whose fields must be columns of the table."""
    lists = [_values(columns.column(name)) for name in kind._fields]  # type: ignore[attr-defined]
    return list(map(kind._make, zip(*lists, strict=True)))  # type: ignore[attr-defined]


def _values(column: pa.ChunkedArray) -> list[Any]:
    if column.null_count == len(column):
        return [None] * len(column)
    values: list[Any]
    if column.null_count or pa.types.is_binary(column.type):
        values = column.to_pylist()
        return values
    # Through numpy: no Arrow scalar is made for each value (measured: 15 times faster).
    values = column.to_numpy().tolist()
    return values
