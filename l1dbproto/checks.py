"""What rows must be before they may be stored."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .errors import BadRecords
from .tables import TableDef

# Columns with a default of the seed's.
_DEFAULTS = {"flags": 0}


def conform(columns: pa.Table, table: TableDef) -> pa.Table:
    """The columns in the table's types. Raises BadRecords for unknown, missing, ill-typed or null ones."""
    unknown = [name for name in columns.column_names if name not in table.by_name]
    if unknown:
        raise BadRecords(f"{table.name} has no column {', '.join(unknown)}; its columns are {', '.join(table.names)}")
    for name, value in _DEFAULTS.items():
        if name in table.by_name and name not in columns.column_names:
            columns = columns.append_column(name, pa.array(np.full(columns.num_rows, value, dtype=np.int64)))
    missing = [c.name for c in table.columns if not c.nullable and c.name not in columns.column_names]
    if missing:
        raise BadRecords(f"{table.name} needs {', '.join(missing)}, which the records do not have")
    return _typed(columns, table)


def _typed(columns: pa.Table, table: TableDef) -> pa.Table:
    arrays = []
    for name in columns.column_names:
        wanted, array = table.by_name[name], columns.column(name)
        if array.null_count and not wanted.nullable:
            raise BadRecords(f"{table.name}.{name} cannot be null, but is in {array.null_count} records")
        try:
            # Doubles may be rounded to single precision; nothing else may lose anything.
            arrays.append(
                array if array.type == wanted.arrow else pc.cast(array, wanted.arrow, safe=wanted.kind != "F")
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise BadRecords(f"{table.name}.{name} takes {wanted.arrow}, not {array.type}: {error}") from error
    return pa.table(arrays, names=columns.column_names)


def check_versions(objects: pa.Table, time: datetime) -> None:
    """Raise BadRecords unless every object comes once, starts at the visit's moment, and has no end."""
    ids = objects.column("diaObjectId").to_numpy()
    distinct, times = np.unique(ids, return_counts=True)
    if len(distinct) < len(ids):
        raise BadRecords(f"object {distinct[times > 1][0]} comes more than once in one visit")
    starts = objects.column("validityStart")
    if not pc.all(pc.equal(starts, pa.scalar(time, starts.type))).as_py():
        raise BadRecords(f"validityStart of every object must be the visit's time, {time}; found {pc.min_max(starts)}")
    if "validityEnd" in objects.column_names and objects.column("validityEnd").null_count < len(ids):
        raise BadRecords("validityEnd of a new version must be None: it is the open one")


def sorted_by(columns: pa.Table, key: np.ndarray | str) -> pa.Table:
    """The rows in the order of a column or of a key of their own."""
    order = np.argsort(columns.column(key).to_numpy() if isinstance(key, str) else key, kind="stable")
    return columns.take(pa.array(order))


def in_htm_order(
    objects: pa.Table | None, sources: pa.Table | None, forced: pa.Table | None
) -> tuple[pa.Table | None, pa.Table | None, pa.Table | None]:
    """Each batch in the order of the sky, so that neighbors share pages (measured: 7 times fewer to read)."""
    if forced is not None:
        forced = sorted_by(forced, "diaObjectId") if objects is None else _like_objects(forced, objects)
    return (
        None if objects is None else sorted_by(objects, "htmId20"),
        None if sources is None else sorted_by(sources, "htmId20"),
        forced,
    )


def _like_objects(forced: pa.Table, objects: pa.Table) -> pa.Table:
    """Forced sources have no position of their own; they stand in the order of their objects."""
    ids = objects.column("diaObjectId").to_numpy()
    order = np.argsort(ids)
    found = np.searchsorted(ids, forced.column("diaObjectId").to_numpy(), sorter=order)
    place = order[np.minimum(found, len(ids) - 1)] if len(ids) else found
    key = objects.column("htmId20").to_numpy()[place] if len(ids) else found
    return sorted_by(forced, key)
