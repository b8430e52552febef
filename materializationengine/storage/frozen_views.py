"""The views of a version, built from the version's own tables."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import psycopg2.extensions

from ..domain.plan import TablePlan
from .engines import Cluster
from .sql import literal, sql
from .tables import qualified
from .views import View, create_statement, over_merged, over_split

_MISSING = (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn)
"""What a view meets whose tables did not exist at the version's moment."""


def build(
    cluster: Cluster, build: str, views: tuple[View, ...], tables: tuple[TablePlan, ...], split: bool
) -> dict[str, str]:
    """Build views in a version that nobody reads yet; safe to run again.

    Returns the name of each view with "built", or the reason why the version has none: what a view names need not have
    existed at the version's moment.
    """
    told = {}
    with closing(cluster.raw(build, "views")) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql("views", "create_frozen_list"))
            cursor.execute("DELETE FROM analysisviews")
            made = _made(cursor, tables)
        for view in views:
            body = over_split(view.definition, tables, made, current_only=False) if split else None
            told[view.name] = _build(connection, view, body or over_merged(view.definition))
    return told


def _made(cursor: psycopg2.extensions.cursor, tables: tuple[TablePlan, ...]) -> set[str | None]:
    made: set[str | None] = set()
    for table in tables:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (qualified(table.segmentation or ""),))
        ((there,),) = cursor.fetchall()
        if there:
            made.add(table.segmentation)
    return made


def _build(connection: psycopg2.extensions.connection, view: View, body: str) -> str:
    try:
        with connection, connection.cursor() as cursor:
            _drop(cursor, view.name)
            cursor.execute(create_statement(view, body))
            if view.materialized:
                cursor.execute(f"ANALYZE {qualified(view.name)}")
            cursor.execute(_listed(view))
    except _MISSING as error:
        return str(error).partition("\n")[0]
    return "built"


def _drop(cursor: psycopg2.extensions.cursor, name: str) -> None:
    cursor.execute("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", (qualified(name),))
    for (kind,) in cursor.fetchall():
        cursor.execute(f"DROP {'MATERIALIZED VIEW' if kind == 'm' else 'VIEW'} {qualified(name)}")


def _listed(view: View) -> str:
    """The view's line in the version's `analysisviews`."""
    notice = "NULL" if view.notice is None else literal(view.notice)
    x, y, z = view.resolution
    return (
        "INSERT INTO analysisviews (table_name, description, datastack_name, voxel_resolution_x, voxel_resolution_y, "
        f"voxel_resolution_z, notice_text, live_compatible) VALUES ({literal(view.name)}, {literal(view.description)}, "
        f"{literal(view.datastack)}, {x!r}, {y!r}, {z!r}, {notice}, {view.live})"
    )
