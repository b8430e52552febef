"""Annotations of live tables: rows come and go at moments of the database's own clock (law 1).

One call is one transaction with one stamp, taken when the table is held and the transaction has its id. An update
closes the old row and opens the new one at the same instant. Rows go in by COPY.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..domain.errors import (
    AlreadySuperseded,
    BadAnnotation,
    StorageUnavailable,
    TooLarge,
    UnknownAnnotation,
    UnknownTable,
)
from ..domain.schemas import Column, Role, Schema, SqlType, schema
from ..kernel.columns import Connection, DriverError, lost, sqlstate
from .annotation_rows import Row, column_type, new_rows, read_rows, successor_rows
from .engines import Cluster
from .sql import quote, sql
from .tables import has_valid, position_expressions, qualified

MAX_ROWS = 10_000
"""Rows of one call, as CAVE has it."""

_FOREIGN_KEY, _UNIQUE = "23503", "23505"
_BUSY = ("55P03", "40P01", "57014")
"""SQLSTATEs of a lock that did not come, a deadlock and a cancelled statement: the same call may work later."""


@dataclass(frozen=True, slots=True)
class HeldTable:
    """A live table that this transaction alone writes to; `stamp` (naive UTC) is the moment of whatever it does."""

    name: str
    schema: Schema
    reference_table: str | None
    stamp: datetime


@contextmanager
def writing(cluster: Cluster, database: str) -> Iterator[Connection]:
    """A transaction that is committed at the end, and dropped at any exception.

    Raises StorageUnavailable where a lock did not come in time, or the connection broke.
    """
    with cluster.connect(database, "annotations") as connection:
        try:
            yield connection
            connection.commit()
        except DriverError as error:
            if sqlstate(error) in _BUSY:
                raise StorageUnavailable("the table is busy; try again", retry_after=5.0) from error
            if lost(error):
                told = "the connection to the database broke; whether the rows were kept, only a look at them tells"
                raise StorageUnavailable(told, retry_after=5.0) from error
            raise


def hold(connection: Connection, table: str) -> HeldTable:
    """Become the table's only writer and look at the clock. Raises UnknownTable."""
    row = connection.one(sql("annotations", "hold_table"), table)
    if row is None:
        raise UnknownTable(f"there is no annotation table {table!r}", field="table_name")
    return HeldTable(table, schema(row[0]), row[1], stamp(connection))


def stamp(connection: Connection) -> datetime:
    """Now by the database's clock, after the transaction has got its id."""
    _, moment = connection.rows(sql("annotations", "stamp"))[0]
    return moment


def post(connection: Connection, held: HeldTable, rows: Sequence[Row]) -> list[int]:
    """Insert rows and return their ids in the same order. Raises TooLarge, BadAnnotation."""
    check_size(rows)
    ids = _ids(connection, held.name, [row.get("id") for row in rows])
    _append(connection, held, new_rows(held.schema, rows, ids, held.stamp))
    _touch(connection, held)
    return ids


def update(connection: Connection, held: HeldTable, changes: Sequence[Row]) -> dict[int, int]:
    """Replace rows by new ones that differ in the values given; returns old id to new id.

    Raises TooLarge, UnknownAnnotation, AlreadySuperseded, BadAnnotation.
    """
    check_size(changes)
    old = [change["id"] for change in changes]
    _require_current(connection, held, old)
    new = _ids(connection, held.name, [None] * len(old))
    _stage_changes(connection, held, changes, new)
    _guarded(held, lambda: connection.execute(_insert_successors(held)))
    connection.execute(_statement(held, "close_predecessors"), held.stamp)
    _touch(connection, held)
    return dict(zip(old, new, strict=True))


def delete(connection: Connection, held: HeldTable, ids: Sequence[int]) -> list[int]:
    """Close rows; returns the ids that are closed now, those that were before included.

    Raises TooLarge, UnknownAnnotation, and AlreadySuperseded for a row that has a successor.
    """
    check_size(ids)
    if not ids:
        return []
    for row, (successor, _) in _states(connection, held, ids).items():
        if successor is not None:
            raise _superseded(held, row, successor)
    connection.execute(_statement(held, "delete_rows"), list(ids), held.stamp)
    _touch(connection, held)
    return list(ids)


def get(connection: Connection, table: str, kind: Schema, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Rows in the order of `ids`, current or not, with their history. Raises TooLarge, UnknownAnnotation."""
    check_size(ids)
    if not ids:
        return []
    columns = kind.annotation_columns()
    listed = ", ".join(
        position_expressions(c.name) if c.type is SqlType.POINTZ else f"a.{quote(c.name)}" for c in columns
    )
    found = connection.table(sql("annotations", "rows", columns=listed, table=qualified(table)), list(ids))
    rows = {row["id"]: row for row in read_rows(columns, found)}
    missing = [each for each in ids if each not in rows]
    if missing:
        raise _unknown(table, missing)
    return [rows[each] for each in ids]


def count(connection: Connection, table: str) -> int:
    """Rows that are current. Raises UnknownTable."""
    named = connection.one("SELECT schema_type FROM annotation_table_metadata WHERE table_name = $1", table)
    if named is None:
        raise UnknownTable(f"there is no annotation table {table!r}", field="table_name")
    statement = sql("annotations", "count_rows", table=qualified(table), **_of_valid(schema(named[0])))
    return int(connection.value(statement))


def _statement(held: HeldTable, name: str) -> str:
    return sql("annotations", name, table=qualified(held.name), **_of_valid(held.schema))


def _of_valid(kind: Schema) -> dict[str, str]:
    """What statements say of the column `valid`; one schema, `derived_spatial_point`, has none."""
    if not has_valid(kind):
        return {"or_invalid": "", "and_valid": "", "invalidate": ""}
    return {"or_invalid": " OR valid IS FALSE", "and_valid": " AND valid IS NOT FALSE", "invalidate": ", valid = false"}


def check_size(rows: Sequence[object]) -> None:
    """Raises TooLarge for more rows than one call may carry."""
    if len(rows) > MAX_ROWS:
        raise TooLarge(f"one call carries at most {MAX_ROWS} annotations, not {len(rows)}; send them in parts")


def _ids(connection: Connection, table: str, given: Sequence[int | None]) -> list[int]:
    """The ids given, and new ones where none is; the sequence passes the largest that was given."""
    supplied = [each for each in given if each is not None]
    if supplied:
        connection.rows(sql("annotations", "pass_ids"), qualified(table), max(supplied))
    drawn = connection.rows(sql("annotations", "next_ids"), qualified(table), len(given) - len(supplied))
    numbers = iter(number for (number,) in drawn)
    return [next(numbers) if each is None else each for each in given]


def _append(connection: Connection, held: HeldTable, rows: Any) -> None:
    if rows.num_rows:
        _guarded(held, lambda: connection.append(held.name, rows, schema="public"))


def _guarded(held: HeldTable, deed: Any) -> None:
    """Do what may break a key, and say which."""
    try:
        deed()
    except DriverError as error:
        state = sqlstate(error)
        if state == _UNIQUE:
            told = f"{held.name} holds an annotation of an id given here: {_detail(error)}"
            raise BadAnnotation(told, field="id") from error
        if state == _FOREIGN_KEY:
            told = f"target_id: {held.reference_table} has no such row: {_detail(error)}"
            raise BadAnnotation(told, field="target_id") from error
        raise


def _detail(error: DriverError) -> str:
    """PostgreSQL's line that names the key at fault."""
    lines = [line.partition("DETAIL:")[2].strip() for line in str(error).splitlines() if "DETAIL:" in line]
    return lines[0] if lines else "it is there already, or missing"


def _touch(connection: Connection, held: HeldTable) -> None:
    connection.execute(sql("annotations", "touch"), held.name, held.stamp)


def _require_current(connection: Connection, held: HeldTable, ids: Sequence[int]) -> None:
    for row, (successor, over) in _states(connection, held, ids).items():
        if successor is not None:
            raise _superseded(held, row, successor)
        if over:
            raise AlreadySuperseded(f"annotation {row} of {held.name} was deleted", id=row)


def _superseded(held: HeldTable, row: int, successor: int) -> AlreadySuperseded:
    told = f"annotation {row} of {held.name} was replaced by {successor}; change that one"
    return AlreadySuperseded(told, id=row, superceded_id=successor)


def _states(connection: Connection, held: HeldTable, ids: Sequence[int]) -> Mapping[int, tuple[int | None, bool]]:
    """Successor, and whether it is over, of every row asked for. Raises UnknownAnnotation."""
    statement = sql("annotations", "states", table=qualified(held.name), lock="FOR UPDATE", **_of_valid(held.schema))
    # An empty list has no type on the wire; the look-up of no id finds nothing either way.
    found = {row: (successor, over) for row, successor, over in connection.rows(statement, list(ids) or [0])}
    missing = [each for each in ids if each not in found]
    if missing:
        raise _unknown(held.name, missing)
    return found


def _unknown(table: str, missing: Sequence[int]) -> UnknownAnnotation:
    told = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
    return UnknownAnnotation(f"{table} has no annotation {told}", field="annotation_ids")


def _stage_changes(connection: Connection, held: HeldTable, changes: Sequence[Row], new: Sequence[int]) -> None:
    columns = _written(held.schema)
    definitions = ["old_id bigint", "new_id bigint"]
    for column in columns:
        definitions += [f"{quote(column.name)} {column_type(column)}", f"{quote('given ' + column.name)} boolean"]
    connection.execute(sql("annotations", "create_changes", definitions=", ".join(definitions)))
    staged = successor_rows(columns, changes, new)
    if staged.num_rows:
        connection.append("changes", staged, temporary=True)


def _written(kind: Schema) -> tuple[Column, ...]:
    """The columns that a client writes, or that hold who wrote."""
    engine = (Role.ID, Role.CREATED, Role.DELETED, Role.SUPERSEDED, Role.VALID)
    return tuple(column for column in kind.annotation_columns() if column.role not in engine)


def _insert_successors(held: HeldTable) -> str:
    columns = held.schema.annotation_columns()
    return sql(
        "annotations",
        "insert_successors",
        table=qualified(held.name),
        names=", ".join(quote(column.name) for column in columns),
        expressions=", ".join(_successor(column, held.stamp) for column in columns),
    )


def _successor(column: Column, moment: datetime) -> str:
    match column.role:
        case Role.ID:
            return "c.new_id"
        case Role.CREATED:
            return f"timestamp '{moment.isoformat(sep=' ')}'"
        case Role.DELETED | Role.SUPERSEDED:
            return "NULL"
        case Role.VALID:
            return "true"
    name, given = quote(column.name), quote("given " + column.name)
    return f"CASE WHEN c.{given} THEN c.{name} ELSE a.{name} END"
