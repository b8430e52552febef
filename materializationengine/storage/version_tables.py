"""Versions with the tables in them, as the command line lists them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ..domain.datastack import Datastack
from ..domain.errors import UnknownVersion
from ..domain.names import frozen_database
from ..kernel import moments
from .engines import Cluster
from .live_database import exists
from .sql import quote, sql


@dataclass(frozen=True, slots=True)
class TableRow:
    """A table of a version: its rows and the digest that its verification found."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version of a datastack."""

    version: int
    time_stamp: datetime
    status: str
    expires_on: datetime | None
    tables: tuple[TableRow, ...]
    revision: int = 0
    """How often it was mended after its publication."""
    pinned: bool = False
    """Whether it is kept whatever its expiry."""

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "version": self.version,
            "timestamp": self.time_stamp.isoformat(),
            "status": self.status,
            "revision": self.revision,
            "expires_on": self.expires_on.isoformat() if self.expires_on else None,
            "pinned": self.pinned,
            "tables": [{"table": t.name, "rows": t.rows, "digest": t.digest} for t in self.tables],
        }


def version_rows(cluster: Cluster, datastack: Datastack, number: int | None = None) -> list[VersionRow]:
    """Versions of a datastack, newest first, or one of them. Raises UnknownVersion."""
    if not exists(cluster, datastack.aligned_volume):
        return []
    with cluster.connect(datastack.aligned_volume, "list versions") as connection:
        rows = connection.rows(sql("frozen", "version_rows"), datastack.name, number)
        tables = connection.rows(sql("frozen", "version_tables"), datastack.name, number)
    if number is not None and not rows:
        raise UnknownVersion(f"there is no version {number} of {datastack.name}")
    return [
        VersionRow(
            version,
            moments.aware(time_stamp),
            status,
            moments.aware(expires_on) if expires_on else None,
            tuple(TableRow(name, count, digest) for of, name, count, digest in tables if of == version),
            revision,
            pinned,
        )
        for version, time_stamp, status, expires_on, revision, pinned in rows
    ]


def ids_in_order(
    cluster: Cluster, datastack: str, version: int, table: str, columns: tuple[str, ...]
) -> npt.NDArray[np.int64]:
    """Columns of ids of a version's table, shape (rows, columns), in the order of the row's own id."""
    statement = sql("frozen", "in_order_of_id", columns=", ".join(map(quote, columns)), table=quote(table))
    with cluster.connect(frozen_database(datastack, version), "ids in order") as connection:
        rows = connection.table(statement)
    return np.stack([column.to_numpy() for column in rows.columns], axis=1)
