"""A published version whose database was lost: what is known of it, and the proof that it was made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..domain.errors import BadRequest, UnknownVersion, VerificationFailed
from ..kernel import moments
from ..kernel.columns import Connection
from . import cell_segments
from .sql import sql
from .version_publishing import VerifiedTable


@dataclass(frozen=True, slots=True)
class LostVersion:
    """A version's moment and form, and the digest of each of its tables."""

    id: int
    moment: datetime
    split: bool
    digests: Mapping[str, str]
    cell_segments: bool
    """Whether it had the table `cellsegment`."""


def lost_version(connection: Connection, datastack: str, number: int) -> LostVersion:
    """What the registry kept of a version. Raises UnknownVersion."""
    row = connection.one(sql("care", "lost_version"), datastack, number, cell_segments.FACT)
    if row is None:
        raise UnknownVersion(f"datastack {datastack!r} has no version {number} of its own", field="rebuilds")
    id_, moment, merged, segments = row
    digests = dict(connection.rows(sql("care", "published_digests"), id_))
    return LostVersion(id_, moments.aware(moment), not merged, digests, segments)


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
    found = {table.table: table.digest for table in made}
    differing = sorted(name for name in lost.digests.keys() | found if lost.digests.get(name) != found.get(name))
    if differing:
        raise VerificationFailed(
            f"version {number} comes out different from what was published: {', '.join(differing)}"
        )
    connection.execute(sql("care", "forget_tables"), lost.id)
    connection.execute(sql("care", "forget_digests"), lost.id)
