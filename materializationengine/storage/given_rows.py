"""Given rows of a live table: those of them that lack an id, and what stays owed of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from ..domain.plan import TablePlan
from ..kernel import moments
from ..kernel.columns import Connection
from .segmentation_rows import missing, point_columns, stage_owed
from .sql import sql
from .tables import qualified


def missing_given(connection: Connection, table: TablePlan, ids: Sequence[int], roots: bool) -> pa.Table:
    """Those of the given rows that lack an id, in the shape of `segmentation_rows.missing_rows`."""
    names = {"annotation": qualified(table.name), "segmentation": qualified(table.segmentation or "")}
    statement = sql("given", "missing_given", **names, columns=point_columns(table), missing=missing(table, roots))
    return connection.table(statement, list(ids))


def note_unresolved_given(
    connection: Connection, table: TablePlan, ids: Sequence[int], owed: pa.Table, moment: datetime
) -> None:
    """Keep what is still owed of given rows, with its reason, and forget what is not owed any more."""
    stage_owed(connection, owed)
    connection.execute(sql("given", "clear_given"), table.segmentation, list(ids))
    connection.execute(sql("live", "note_unresolved"), table.segmentation, moments.naive(moment))
