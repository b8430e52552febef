"""Views over annotation tables: defined once, over flat tables, and built wherever rows lie.

A definition is a SELECT that names annotation tables as if each were one flat table with all its columns, which is what
a merged version holds. In a live database and in a split version the same names stand for joins of the two tables.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..domain.datastack import Datastack, Resolution
from ..domain.errors import BadRequest, TableExists, UnknownTable
from ..domain.names import check_table_name
from ..domain.plan import TablePlan
from ..domain.schemas import Column, schema
from ..kernel.columns import Connection, DriverError, sqlstate
from .annotation_tables import is_taken, table_plans
from .sql import quote, sql
from .tables import has_valid, qualified

_MISTAKE = "42"
"""The SQLSTATE class of a statement that names what is not there, or is malformed."""

_KINDS = {"v": "VIEW", "m": "MATERIALIZED VIEW"}


@dataclass(frozen=True, slots=True)
class View:
    """A view as its author describes it; `definition` is one SELECT over flat tables."""

    name: str
    datastack: str
    definition: str
    description: str
    materialized: bool = False
    live: bool = False
    notice: str | None = None
    resolution: Resolution = (1.0, 1.0, 1.0)


def create(connection: Connection, datastack: Datastack, view: View) -> None:
    """Check a definition and keep it, in the caller's transaction; a live view is built in the live database too.

    Raises BadName, TableExists, BadRequest with PostgreSQL's own sentence.
    """
    check_table_name(view.name)
    if is_taken(connection, view.name) or _of_name(connection, datastack, view.name):
        raise TableExists(f"a table or view {view.name!r} exists already; choose another name", field="name")
    body = live_body(connection, datastack, view.definition)
    try:
        connection.execute(create_statement(view, body))
    except DriverError as error:
        if sqlstate(error)[:2] != _MISTAKE:
            raise
        raise BadRequest(f"{view.name}: {_sentence(error)}", field="sql") from error
    if not view.live:
        drop_relation(connection, view.name)
    connection.execute(
        sql("views", "insert_view"),
        *(view.name, view.description, view.datastack, *view.resolution, view.notice, view.live),
    )
    definition = view.definition.strip().rstrip(";")
    connection.execute(sql("views", "insert_definition"), view.name, view.datastack, definition, view.materialized)


def refresh(connection: Connection, datastack: Datastack, name: str) -> None:
    """Build a live view anew from its definition, and put it in the place of the old one at the end.

    Raises UnknownTable, and BadRequest for a view that is not live.
    """
    view = find(connection, datastack, name)
    if not view.live:
        raise BadRequest(f"view {name} is built in versions only; there is nothing to refresh", field="name")
    fresh = View(f"{name[:55]}__fresh", *(view.datastack, view.definition, "", view.materialized))
    connection.execute(create_statement(fresh, live_body(connection, datastack, view.definition)))
    drop_relation(connection, name)
    kind = "MATERIALIZED VIEW" if view.materialized else "VIEW"
    connection.execute(f"ALTER {kind} {qualified(fresh.name)} RENAME TO {quote(name)}")


def drop(connection: Connection, datastack: Datastack, name: str) -> None:
    """Forget a view; versions that hold it keep it. Raises UnknownTable."""
    find(connection, datastack, name)
    drop_relation(connection, name)
    connection.execute("DELETE FROM analysisviews WHERE table_name = $1", name)
    connection.execute("DELETE FROM matengine.view_definition WHERE table_name = $1", name)


def find(connection: Connection, datastack: Datastack, name: str) -> View:
    """One view of a datastack. Raises UnknownTable naming those there are."""
    view = _of_name(connection, datastack, name)
    if view is None:
        there = ", ".join(each.name for each in definitions(connection, datastack.name)) or "none"
        raise UnknownTable(f"{datastack.name} has no view {name!r} of ours; there are {there}", field="name")
    return view


def definitions(connection: Connection, datastack: str) -> tuple[View, ...]:
    """The views of a datastack that we can build, in the order in which they were made."""
    rows = connection.rows(sql("views", "definitions"), datastack)
    return tuple(_view(*row) for row in rows)


def _view(
    name: str,
    datastack: str,
    definition: str,
    description: str,
    materialized: bool,
    live: bool,
    notice: str | None,
    x: float,
    y: float,
    z: float,
) -> View:
    return View(name, datastack, definition, description, materialized, live, notice, (x, y, z))


def _of_name(connection: Connection, datastack: Datastack, name: str) -> View | None:
    return next((view for view in definitions(connection, datastack.name) if view.name == name), None)


def create_statement(view: View, body: str) -> str:
    """CREATE VIEW, or MATERIALIZED VIEW, over a body."""
    return f"CREATE {'MATERIALIZED ' if view.materialized else ''}VIEW {qualified(view.name)} AS {body}"


def drop_relation(connection: Connection, name: str) -> None:
    """Drop a view of either kind, if there is one."""
    row = connection.one(sql("views", "relation_kind"), qualified(name))
    if row is not None and row[0] in _KINDS:
        connection.execute(f"DROP {_KINDS[row[0]]} {qualified(name)}")


def live_body(connection: Connection, datastack: Datastack, definition: str) -> str:
    """The definition over the rows that are current in the live database."""
    tables = table_plans(connection, datastack)
    made = {table.segmentation for table in tables if _exists(connection, table.segmentation)}
    return over_split(definition, tables, made, current_only=True)


def over_split(definition: str, tables: Sequence[TablePlan], made: set[str | None], *, current_only: bool) -> str:
    """The definition with each table that it names put together from its two halves.

    `made` holds the segmentation tables that are there; without one, ids are NULL.
    """
    clean = definition.strip().rstrip(";")
    named = [table for table in tables if re.search(rf"\b{re.escape(table.name)}\b", clean)]
    flat = ", ".join(
        f"{quote(table.name)} AS NOT MATERIALIZED ({_flat_select(table, table.segmentation in made, current_only)})"
        for table in named
    )
    # The inner SELECT may have a WITH of its own, so it stands in parentheses; a comment may end it.
    return f"{'WITH ' + flat if flat else ''} SELECT * FROM ({clean}\n) AS defined"


def over_merged(definition: str) -> str:
    """The definition as it is, held to be one SELECT."""
    return f"SELECT * FROM ({definition.strip().rstrip(';')}\n) AS defined"


def _flat_select(table: TablePlan, has_ids: bool, current_only: bool) -> str:
    kind = schema(table.schema)
    columns = ", ".join(f"{_expression(column, has_ids)} AS {quote(column.name)}" for column in kind.flat_columns())
    source = f"{qualified(table.name)} a"
    if has_ids:
        source += f" LEFT JOIN {qualified(table.segmentation or '')} s ON s.id = a.id"
    shown = " AND a.valid IS NOT FALSE" if has_valid(kind) else ""
    return f"SELECT {columns} FROM {source}" + (f" WHERE a.deleted IS NULL{shown}" if current_only else "")


def _expression(column: Column, has_ids: bool) -> str:
    if not column.is_segmentation:
        return f"a.{quote(column.name)}"
    return f"s.{quote(column.name)}" if has_ids else f"NULL::{column.type.value}"


def _exists(connection: Connection, table: str | None) -> bool:
    return table is not None and bool(connection.value("SELECT to_regclass($1) IS NOT NULL", qualified(table)))


def _sentence(error: DriverError) -> str:
    text = str(error)
    return text.partition("ERROR:")[2].partition("\n")[0].strip() or text
