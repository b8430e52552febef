"""What a verification asks of a frozen table, beside its digest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..domain.ports import Ids
from ..domain.schemas import BoundPoint
from ..kernel.columns import Connection
from .sql import quote, sql
from .tables import qualified

_SHARES = 1 << 20
"""Parts into which a hash divides the supervoxels."""


def sampled_pairs(connection: Connection, table: str, point: BoundPoint, limit: int, rows: int) -> tuple[Ids, Ids]:
    """Distinct (supervoxel, root) pairs of one bound point of a table of `rows` rows, spread evenly.

    All of them where there are no more rows than `limit`, else those of that share of all supervoxels: `limit` where
    each row has one of its own.
    """
    columns = {"supervoxel": quote(point.supervoxel), "root": quote(point.root)}
    share = _SHARES if rows <= limit else limit * _SHARES // rows
    found = connection.table(sql("frozen", "sampled_pairs", table=qualified(table), **columns), share)
    supervoxels, roots = (found.column(number).to_numpy().astype(np.int64, copy=False) for number in (0, 1))
    return supervoxels, roots


def count_null_roots(connection: Connection, table: str, points: Sequence[BoundPoint]) -> int:
    """Rows with a root that is still owed."""
    condition = " OR ".join(f"{quote(point.root)} IS NULL" for point in points)
    return int(connection.value(sql("frozen", "null_roots", table=qualified(table), condition=condition)))


def count_orphans(connection: Connection, table: str, column: str, target: str) -> int:
    """Reference rows whose target is not in the version; they are kept."""
    names = {"table": qualified(table), "target": qualified(target), "column": quote(column)}
    return int(connection.value(sql("frozen", "orphans", **names)))


def has_table(connection: Connection, table: str) -> bool:
    """Whether the database has a table of that name."""
    return bool(connection.value("SELECT to_regclass($1) IS NOT NULL", qualified(table)))
