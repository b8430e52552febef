"""A published version whose database was lost: what is known of it, and the proof that it was made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..domain.errors import BadRequest, UnknownVersion, VerificationFailed
from ..kernel import moments
from ..kernel.columns import Connection
from . import cell_segments
from .content_digest import FACT
from .sql import sql
from .version_publishing import VerifiedTable


@dataclass(frozen=True, slots=True)
class Known:
    """A published table's digests: of what its readers see, which every release computes alike, and of its rows."""

    content: str | None
    digest: str

    def is_of(self, table: VerifiedTable) -> bool:
        """Whether the table made is the one that was published."""
        return self.digest == table.digest if self.content is None else self.content == table.facts.get(FACT)


@dataclass(frozen=True, slots=True)
class LostVersion:
    """A version's moment and form, and what each of its tables is known by."""

    id: int
    moment: datetime
    split: bool
    tables: Mapping[str, Known]
    cell_segments: bool
    """Whether it had the table `cellsegment`."""


def lost_version(connection: Connection, datastack: str, number: int) -> LostVersion:
    """What the registry kept of a version. Raises UnknownVersion."""
    row = connection.one(sql("care", "lost_version"), datastack, number, cell_segments.FACT)
    if row is None:
        raise UnknownVersion(f"datastack {datastack!r} has no version {number} of its own", field="rebuilds")
    id_, moment, merged, segments = row
    rows = connection.rows(sql("care", "published_digests"), id_, FACT)
    tables = {name: Known(content, digest) for name, content, digest in rows}
    return LostVersion(id_, moments.aware(moment), not merged, tables, segments)


def reopen(connection: Connection, datastack: str, number: int) -> int:
    """Mark the version as RUNNING, in the transaction that opens the run; returns its number. Raises BadRequest."""
    if connection.one(sql("care", "reopen_version"), datastack, number) is None:
        raise BadRequest(
            f"version {number} of {datastack} has its database, or was never published; only a lost one is rebuilt",
            field="rebuilds",
        )
    return number


def check(connection: Connection, datastack: str, number: int, made: Sequence[VerifiedTable]) -> None:
    """Compare with what was published, and make room for it, in the transaction that publishes.

    Raises VerificationFailed naming the tables that came out different: they would be another version.
    """
    lost = lost_version(connection, datastack, number)
    same = {table.table for table in made if table.table in lost.tables and lost.tables[table.table].is_of(table)}
    differing = sorted((lost.tables.keys() | {table.table for table in made}) - same)
    if differing:
        raise VerificationFailed(
            f"version {number} comes out different from what was published: {', '.join(differing)}"
        )
    connection.execute(sql("care", "forget_tables"), lost.id)
    connection.execute(sql("care", "forget_digests"), lost.id)
