"""A version's tables compared with what was published of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ..domain.datastack import Datastack
from ..domain.errors import UnknownVersion, VersionNotAvailable
from ..domain.names import frozen_database, segmentation_table
from ..domain.query_plan import Source
from ..domain.schemas import schema
from ..kernel import moments
from ..kernel.columns import Connection
from . import frozen_checks
from .content_digest import Content, content
from .engines import Cluster
from .live_database import exists
from .sql import sql

_ANY = (1.0, 1.0, 1.0)
"""A digest is of positions as they are stored, whatever the resolution."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A table, what it holds, and the rows and digest that were published; both None where none were."""

    table: str
    found: Content
    rows: int | None
    digest: str | None

    @property
    def same(self) -> bool:
        """Whether nothing is known that differs."""
        return self.rows in (None, self.found.rows) and self.digest in (None, self.found.digest)


def source(connection: Connection, table: str, kind: str, pcg_table: str, split: bool) -> Source:
    """A table of a frozen database as its readers see it."""
    known = schema(kind)
    beside = segmentation_table(table, pcg_table) if split and known.has_segmentation else None
    if beside is not None and not frozen_checks.has_table(connection, beside):
        beside = None
    return Source(table, known, _ANY, beside, split=split)


def compare(cluster: Cluster, datastack: Datastack, number: int) -> Iterator[Compared]:
    """Every table of a version, one after another. Raises UnknownVersion, VersionNotAvailable."""
    with cluster.connect(datastack.aligned_volume, "verify") as connection:
        version = connection.one(sql("content", "version"), datastack.name, number)
        if version is None:
            raise UnknownVersion(f"there is no version {number} of {datastack.name}")
        tables = connection.rows(sql("content", "tables"), datastack.name, number)
    moment, merged, home, home_number = version
    database = frozen_database(home, home_number)
    if not exists(cluster, database):
        raise VersionNotAvailable(f"the database of version {number} is gone; its citation is all that is left")
    with cluster.connect(database, "verify") as connection:
        for table, kind, rows, digest in tables:
            known = source(connection, table, kind, datastack.pcg_table, not merged)
            yield Compared(table, _content(connection, known, moments.aware(moment)), rows, digest)


def _content(connection: Connection, known: Source, moment: datetime) -> Content:
    try:
        return content(connection, known, moment)
    finally:
        connection.rollback()
