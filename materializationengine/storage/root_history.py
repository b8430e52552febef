"""Roots of the past, from what updates left behind, so that a moment stays answerable without its version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from ..domain.ports import Ids, RootLookup
from ..kernel import moments
from ..kernel.columns import Connection
from .sql import sql


@dataclass(frozen=True, slots=True)
class Present:
    """The roots that a live table holds beside the supervoxels asked, 0 where it holds none, and its `last_updated`."""

    roots: Ids
    mark: datetime


def roots_at(
    connection: Connection, pcg_table: str, supervoxels: Ids, at: datetime, present: Present | None = None
) -> RootLookup:
    """The root of each supervoxel at a moment, as far as history knows it.

    Parameters
    ----------
    connection
        A live database; a temporary table is made in its transaction.
    supervoxels
        Shape (n,), int64, in any order and with repetitions; 0 is background and stays 0.
    present
        What a live table holds of the same supervoxels. A root that is there since before `at` needs no other witness.

    Returns
    -------
    RootLookup
        Aligned with `supervoxels`. Where `resolved` is false history does not know, and the graph must be asked.
    """
    held = np.zeros_like(supervoxels) if present is None else present.roots
    places = pa.array(np.arange(len(supervoxels), dtype=np.int64), pa.int64())
    asked = {
        "place": places,
        "supervoxel": pa.array(supervoxels, pa.int64()),
        "root": pa.array(held, pa.int64(), mask=held == 0),
    }
    connection.execute("DROP TABLE IF EXISTS pg_temp.asked")
    connection.execute("CREATE TEMPORARY TABLE asked (place bigint, supervoxel bigint, root bigint) ON COMMIT DROP")
    connection.append("asked", pa.table(asked), temporary=True)
    mark = None if present is None else moments.naive(present.mark)
    found = connection.table(sql("history", "roots_at"), pcg_table, moments.naive(at), mark)
    roots, resolved = np.zeros_like(supervoxels), supervoxels == 0
    known = found.column(0).to_numpy()
    roots[known] = found.column(1).to_numpy()
    resolved[known] = True
    return RootLookup(roots, resolved)
