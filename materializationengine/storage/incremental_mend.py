"""Mending a published version: tables are built aside, and swapped in with one transaction.

The version's readers keep what they read until then. What was swapped is noted in the version's own database, by
that transaction, so that a run that dies before it told the registry can tell it later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg2.extensions

from ..domain.errors import StorageUnavailable
from ..domain.schemas import BoundPoint
from ..kernel.columns import copy_between
from . import cell_segments, dependent_views, frozen_build
from .dependent_views import DependentView
from .engines import Cluster
from .sql import quote, sql
from .tables import Shape, create_table, qualified

ASIDE = "matengine_mend"
"""The schema of the version's database in which tables wait to be swapped in."""

_LOCK_TIMEOUT = "5s"
"""Longer than a short query; behind a waiting swap every new reader waits."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A table to be swapped in: its shape, and its row for `materializedmetadata`, None for a split's second half."""

    shape: Shape
    metadata: tuple[object, ...] | None


class Mend:
    """One run's mending of one version database."""

    def __init__(self, cluster: Cluster, database: str, run_id: str) -> None:
        self._cluster, self._database, self._run_id = cluster, database, run_id

    def _writer(self) -> psycopg2.extensions.connection:
        """A connection that may write, which a frozen database forbids unless told otherwise."""
        connection = self._cluster.raw(self._database, "mend")
        connection.set_session(readonly=False)
        return connection

    def done(self) -> list[str] | None:
        """What this run has swapped in, None where it has not yet."""
        with closing(self._writer()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('matengine.mended') IS NOT NULL")
            if cursor.fetchone() != (True,):
                return None
            cursor.execute(sql("incremental", "marked"), (self._run_id,))
            row = cursor.fetchone()
        return None if row is None else list(row[0])

    def digest(self, shape: Shape) -> frozen_build.Digest:
        """The digest of a table of the version, which must have these columns."""
        return frozen_build.table_digest(self._cluster, self._database, shape.table, shape.columns)

    def put_aside(self, build: str, shapes: Sequence[Shape]) -> list[DependentView]:
        """Copy tables of a build, with their keys and indexes, beside those of the version; then build views on them.

        These are the views that stand on the version's tables now, whoever made them. Returns them.
        A materialized view takes its time here, not while the swap holds the tables.
        """
        with closing(self._writer()) as target, closing(self._cluster.raw(build, "mend")) as source:
            with target, target.cursor() as cursor:
                cursor.execute(f"DROP SCHEMA IF EXISTS {ASIDE} CASCADE")
                cursor.execute(f"CREATE SCHEMA {ASIDE}")
            for shape in shapes:
                with target:
                    _copy(source, target, shape)
            with target, target.cursor() as cursor:
                views = dependent_views.standing_on(cursor, [shape.table for shape in shapes])
                for view in views:
                    dependent_views.build(cursor, view, ASIDE)
        return views

    def swap(self, swaps: Sequence[Swap], views: Sequence[DependentView]) -> None:
        """Swap the tables in, with their views, metadata, grants and roots; the mark of it is part of the transaction.

        Raises StorageUnavailable where somebody made or changed a view since these were built aside.
        """
        with closing(self._writer()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            cursor.execute("CREATE SCHEMA IF NOT EXISTS matengine")
            cursor.execute(sql("incremental", "create_marker"))
            cursor.execute(sql("incremental", "mark"), (self._run_id, json.dumps([s.shape.table for s in swaps])))
            cursor.execute(sql("frozen", "create_materialized_metadata"))
            if dependent_views.standing_on(cursor, [swap.shape.table for swap in swaps]) != views:
                raise StorageUnavailable("a view on the mended tables changed meanwhile; the mend builds it again")
            dependent_views.drop(cursor, views)
            for swap in swaps:
                _swap(cursor, swap)
            dependent_views.put_in_place(cursor, views, ASIDE)
            cursor.execute(f"DROP SCHEMA {ASIDE}")
            _add_roots(cursor, [(s.shape.table, point) for s in swaps for point in s.shape.points])
            cursor.execute(sql("incremental", "grant_readers"))


def _copy(source: psycopg2.extensions.connection, target: psycopg2.extensions.connection, shape: Shape) -> None:
    names = ", ".join(quote(name) for name in shape.names)
    with target.cursor() as cursor, source.cursor() as reader:
        cursor.execute(create_table(shape.table, shape.columns, schema=ASIDE))
        reader.execute("SET LOCAL synchronize_seqscans = off")
        copy_between(
            source,
            f"COPY {qualified(shape.table)} ({names}) TO STDOUT (FORMAT binary)",
            target,
            f"COPY {qualified(shape.table, ASIDE)} ({names}) FROM STDIN (FORMAT binary, FREEZE)",
        )
        reader.execute(sql("incremental", "indexes"), (qualified(shape.table),))
        for definition, primary, name in reader.fetchall():
            cursor.execute(definition.replace(" ON public.", f" ON {ASIDE}.", 1))
            if primary:
                key = f"ADD CONSTRAINT {quote(name)} PRIMARY KEY USING INDEX {quote(name)}"
                cursor.execute(f"ALTER TABLE {qualified(shape.table, ASIDE)} {key}")
        cursor.execute(f"ANALYZE {qualified(shape.table, ASIDE)}")


def _swap(cursor: psycopg2.extensions.cursor, swap: Swap) -> None:
    cursor.execute(f"DROP TABLE IF EXISTS {qualified(swap.shape.table)}")
    cursor.execute(f"ALTER TABLE {qualified(swap.shape.table, ASIDE)} SET SCHEMA public")
    if swap.metadata is not None:
        cursor.execute(sql("incremental", "replace_materialized_metadata"), (swap.shape.table,))
        cursor.execute(sql("frozen", "insert_materialized_metadata"), swap.metadata)


def _add_roots(cursor: psycopg2.extensions.cursor, columns: list[tuple[str, BoundPoint]]) -> None:
    """The version's `cellsegment`, where it has one, names the roots of the new tables too."""
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (qualified(cell_segments.TABLE),))
    if cursor.fetchone() == (True,):
        for table, point in columns:
            cell_segments.add_column(cursor, table, point)
