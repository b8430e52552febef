"""Versions with the tables in them, as the command line lists them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..domain.datastack import Datastack
from ..domain.errors import UnknownVersion
from ..kernel import moments
from .engines import Cluster
from .live_database import exists
from .sql import sql


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

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "version": self.version,
            "timestamp": self.time_stamp.isoformat(),
            "status": self.status,
            "revision": self.revision,
            "expires_on": self.expires_on.isoformat() if self.expires_on else None,
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
        )
        for version, time_stamp, status, expires_on, revision in rows
    ]
