"""Views that stand on tables of a version, whoever made them: built anew beside new tables, and put in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg2.extensions

from .sql import quote, sql
from .tables import qualified

_ITSELF = "@view@"
"""What the statements of `after` have in the place of the view's name, which changes with its schema."""


@dataclass(frozen=True, slots=True)
class DependentView:
    """A view as PostgreSQL knows it; `after` is what makes it whole once it is there: owner, grants, indexes."""

    schema: str
    name: str
    materialized: bool
    definition: str
    options: str
    after: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The word for it in a statement."""
        return "MATERIALIZED VIEW" if self.materialized else "VIEW"


def standing_on(cursor: psycopg2.extensions.cursor, tables: Sequence[str]) -> list[DependentView]:
    """Every view that reads one of these tables of `public`, or such a view; what others read comes first."""
    cursor.execute(sql("views", "standing_on"), (list(tables),))
    return [
        DependentView(schema, name, kind == "m", definition.strip().rstrip(";"), options or "", tuple(after))
        for schema, name, kind, definition, options, after in cursor.fetchall()
    ]


def build(cursor: psycopg2.extensions.cursor, view: DependentView, aside: str) -> None:
    """Build the view in another schema, over the tables and views that stand there already, else over `public`'s."""
    cursor.execute(f"SET LOCAL search_path = {quote(aside)}, public")
    options = f" WITH ({view.options})" if view.options else ""
    cursor.execute(f"CREATE {view.kind} {qualified(view.name, aside)}{options} AS {view.definition}")
    for statement in view.after:
        cursor.execute(statement.replace(_ITSELF, qualified(view.name, aside)))
    if view.materialized:
        cursor.execute(f"ANALYZE {qualified(view.name, aside)}")
    cursor.execute("SET LOCAL search_path = public")


def drop(cursor: psycopg2.extensions.cursor, views: Sequence[DependentView]) -> None:
    """Drop views, those that read others first."""
    for view in reversed(views):
        cursor.execute(f"DROP {view.kind} {qualified(view.name, view.schema)}")


def put_in_place(cursor: psycopg2.extensions.cursor, views: Sequence[DependentView], aside: str) -> None:
    """Give the views that were built aside the schema of those that were dropped."""
    for view in views:
        cursor.execute(f"ALTER {view.kind} {qualified(view.name, aside)} SET SCHEMA {quote(view.schema)}")
