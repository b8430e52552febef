"""One frozen table made from the base's: the base is streamed, the change comes from the live tables."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from ..domain.errors import VerificationFailed
from ..domain.ports import Ids
from ..domain.schemas import BoundPoint, Column, Role, SqlType
from ..kernel import moments
from ..kernel.columns import Connection, read_bigints
from ..kernel.trace import Threads
from . import frozen_build
from .engines import Cluster
from .frozen_build import Digest, RootsOf, Snapshot, TableCopy
from .incremental_base import Base
from .incremental_merge import Changes, Merge, RootMap, arrow_schema
from .sql import literal, quote, sql
from .tables import Shape, create_table, qualified, select_shape

_BATCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class MergedTable:
    """What became of one table: its digest, the roots put in, and how many rows were touched."""

    digest: Digest
    roots: Ids
    dropped: int
    patched: int
    inserted: int
    asked: int


@dataclass(frozen=True, slots=True)
class Span:
    """From the base's moment to the version's, with the roots that edits in between replaced."""

    since: datetime
    expired: Ids
    roots_of: RootsOf
    """Roots at the version's moment."""
    pcg_table: str


def merge_table(
    cluster: Cluster, snapshot: Snapshot, build: str, base: Base, copy: TableCopy, span: Span
) -> MergedTable | None:
    """Make one table of the build from the base's; None, and nothing made, where the base's rows are in no order.

    `copy.roots_of` is set where live roots are of another moment than the version. Raises VerificationFailed
    where the outcome differs from what a copy of the snapshot would be.
    """
    shape = copy.shape
    with Threads(1) as beside:
        wanted = beside.submit(_wanted, snapshot, copy)
        changes, asked = _changes(cluster, snapshot, base, copy, span)
        merge = Merge(shape, changes)
        if not _write(cluster, build, base, merge, shape):
            return None
        digest = _checked(cluster, build, copy, wanted.result())
    return MergedTable(digest, merge.written_roots, merge.dropped, merge.patched, merge.inserted, asked)


def _write(cluster: Cluster, build: str, base: Base, merge: Merge, shape: Shape) -> bool:
    select = ", ".join(_ewkb(column, quote(column.name)) for column in shape.columns)
    with base.stream() as source, cluster.connect(build, f"merge {shape.table}") as target:
        target.execute(create_table(shape.table, shape.columns))
        statement = f"SELECT {select} FROM {qualified(shape.table)}"
        with source.batches(statement, batch_bytes=_BATCH_BYTES) as batches:
            rows = pa.RecordBatchReader.from_batches(merge.schema, merge.batches(batches))
            target.append(shape.table, rows, schema="public")
        if merge.sorted:
            target.commit()
    if merge.sorted:
        _mark_frozen(cluster, build, shape.table)
    return merge.sorted


def _mark_frozen(cluster: Cluster, build: str, table: str) -> None:
    """What `COPY .. FREEZE` does for a full copy: rows that every reader sees without looking them up."""
    with closing(cluster.raw(build, f"vacuum {table}")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM (FREEZE, TRUNCATE false) {qualified(table)}")


def _changes(cluster: Cluster, snapshot: Snapshot, base: Base, copy: TableCopy, span: Span) -> tuple[Changes, int]:
    shape = copy.shape
    owed = base.owed_ids(shape)
    gone = _gone(snapshot, copy, span.since)
    fresh = _fresh(cluster, snapshot, copy, span.since, owed)
    ask = base.expired_supervoxels(shape, span.expired) if shape.points else np.zeros(0, np.int64)
    if copy.roots_of is not None:
        ask = np.concatenate([ask, *(_supervoxels(fresh, point) for point in shape.points)])
    roots, asked = _roots(cluster, snapshot, np.unique(ask), copy, span)
    if copy.roots_of is not None:
        for point in shape.points:
            fresh = _with_roots(fresh, point, roots)
    left_out = np.unique(np.concatenate([gone, owed, fresh["id"].to_numpy()]))
    return Changes(left_out, fresh, span.expired, roots), asked


def _gone(snapshot: Snapshot, copy: TableCopy, since: datetime) -> Ids:
    names = {"annotation": qualified(copy.annotation.name), "since": _literal(since), "until": snapshot.moment}
    with closing(snapshot.reader()) as connection:
        return read_bigints(connection, sql("incremental", "gone_ids", **names))


def _fresh(cluster: Cluster, snapshot: Snapshot, copy: TableCopy, since: datetime, owed: Ids) -> pa.Table:
    """Whole rows as a full copy would show them: those new since the base, and those with an id owed then or now."""
    shape = replace(
        copy.shape,
        expressions=tuple(_ewkb(c, text) for c, text in zip(copy.shape.columns, copy.shape.expressions, strict=True)),
    )
    select = select_shape(shape, copy.annotation.name, copy.segmentation, snapshot.moment, None)
    chosen, _, order = select.rpartition(" ORDER BY ")
    wanted = [f"a.created > {_literal(since)}"]
    if shape.points:
        wanted.append("a.id IN (SELECT id FROM pg_temp.owed)")
        wanted += [f"s.{quote(n)} IS NULL" for point in shape.points for n in (point.supervoxel, point.root)]
    with _shared(cluster, snapshot) as connection:
        connection.execute("CREATE TEMPORARY TABLE owed (id bigint) ON COMMIT DROP")
        connection.append("owed", pa.table({"id": pa.array(owed, pa.int64())}), temporary=True)
        rows = connection.table(f"{chosen} AND ({' OR '.join(wanted)}) ORDER BY {order}")
    return rows.rename_columns(list(shape.names)).cast(arrow_schema(shape.columns))


def _shared(cluster: Cluster, snapshot: Snapshot) -> Connection:
    """An Arrow connection that sees what the snapshot sees."""
    connection = cluster.connect(snapshot.live, "read change")
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot.name)}")
    return connection


def _roots(cluster: Cluster, snapshot: Snapshot, supervoxels: Ids, copy: TableCopy, span: Span) -> tuple[RootMap, int]:
    """Roots at the version's moment: of the live table if it stands there, else from history, else from the graph."""
    known, roots = _remembered(cluster, snapshot, supervoxels, copy, span)
    rest = np.setdiff1d(supervoxels, known, assume_unique=True)
    if len(rest):
        found, theirs = span.roots_of(rest)
        known, roots = np.concatenate([known, found]), np.concatenate([roots, theirs])
    order = np.argsort(known)
    return RootMap(known[order], roots[order]), len(rest)


def _remembered(cluster: Cluster, snapshot: Snapshot, supervoxels: Ids, copy: TableCopy, span: Span) -> tuple[Ids, Ids]:
    if not len(supervoxels):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    parts = []
    if copy.roots_of is None and copy.segmentation is not None:
        names = {"segmentation": qualified(copy.segmentation)}
        columns = ({"supervoxel": quote(p.supervoxel), "root": quote(p.root)} for p in copy.shape.points)
        parts = [sql("incremental", "live_roots", **names, **column) for column in columns]
    parts.append(sql("incremental", "history_roots", moment=snapshot.moment, pcg_table=literal(span.pcg_table)))
    with _shared(cluster, snapshot) as connection:
        connection.execute("CREATE TEMPORARY TABLE asked (supervoxel bigint) ON COMMIT DROP")
        connection.append("asked", pa.table({"supervoxel": pa.array(supervoxels, pa.int64())}), temporary=True)
        connection.execute("ANALYZE pg_temp.asked")
        pairs = connection.table(" UNION ".join(parts))
    known, places = np.unique(pairs.column(0).to_numpy(), return_index=True)
    return known, pairs.column(1).to_numpy()[places]


def _supervoxels(rows: pa.Table, point: BoundPoint) -> Ids:
    values: Ids = rows[point.supervoxel].drop_null().to_numpy()
    return values


def _with_roots(rows: pa.Table, point: BoundPoint, roots: RootMap) -> pa.Table:
    supervoxels = rows[point.supervoxel].fill_null(-1).to_numpy()
    return rows.set_column(rows.schema.get_field_index(point.root), point.root, roots.column(supervoxels))


def _wanted(snapshot: Snapshot, copy: TableCopy) -> Digest:
    """The digest of what a full copy would show, of the columns that are compared."""
    select = select_shape(copy.shape, copy.annotation.name, copy.segmentation, snapshot.moment, None)
    with closing(snapshot.reader()) as source:
        return frozen_build.digest(source, frozen_build.named_select(select, copy.shape.columns), _compared(copy))


def _compared(copy: TableCopy) -> tuple[Column, ...]:
    """Where live roots are of another moment, all columns but these; the verification asks for roots again."""
    return tuple(c for c in copy.shape.columns if copy.roots_of is None or c.role is not Role.ROOT)


def _checked(cluster: Cluster, build: str, copy: TableCopy, wanted: Digest) -> Digest:
    """The digest of the table made, which must be that of a full copy."""
    shape = copy.shape
    made = frozen_build.table_digest(cluster, build, shape.table, shape.columns)
    compared = (
        made if copy.roots_of is None else frozen_build.table_digest(cluster, build, shape.table, _compared(copy))
    )
    if compared != wanted:
        raise VerificationFailed(
            f"{shape.table}, made from the base, has {compared.rows} rows, digest {compared.text}; the live tables "
            f"give {wanted.rows} rows, digest {wanted.text}: the base is not true of its moment; mend it, or "
            f"freeze in full"
        )
    return made


def _ewkb(column: Column, expression: str) -> str:
    return f"ST_AsEWKB({expression})" if column.type is SqlType.POINTZ else expression


def _literal(moment: datetime) -> str:
    return f"timestamp {literal(moments.naive(moment).isoformat(sep=' '))}"
