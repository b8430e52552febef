"""What a person may do to a published version: pin it, set its expiry, end it, offer part of it by another name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..domain.errors import BadRequest, OnlyShown, TableExists, UnknownTable, UnknownVersion, VersionNotAvailable
from ..kernel import moments
from ..kernel.columns import Connection
from .sql import sql

LONG = timedelta(days=1000)
"""A parent that lives longer than this is left as it is (workflows.md 2.3)."""

EXTENSION = timedelta(days=36_525)
"""A century: what a virtual version adds to the life of its parent."""


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """A version whose row this transaction holds."""

    id: int
    expires_on: datetime | None
    parent: int | None


def _hold(connection: Connection, datastack: str, number: int) -> HeldVersion:
    row = connection.one(sql("retention", "lock_version"), datastack, number)
    if row is None:
        raise UnknownVersion(f"there is no version {number} of {datastack}", field="version")
    id_, status, valid, expires_on, parent = row
    if status != "AVAILABLE" or not valid:
        raise VersionNotAvailable(f"version {number} of {datastack} is {status}, not AVAILABLE", field="version")
    return HeldVersion(id_, None if expires_on is None else moments.aware(expires_on), parent)


def set_pin(connection: Connection, datastack: str, number: int, pinned: bool, by: str) -> None:
    """Keep a version whatever its expiry, or no more; the caller commits. Raises UnknownVersion."""
    held = _hold(connection, datastack, number)
    if pinned:
        connection.execute(sql("retention", "pin"), held.id, by)
    else:
        connection.execute(sql("retention", "unpin"), held.id)


def set_expiry(connection: Connection, datastack: str, number: int, expires_on: datetime | None) -> None:
    """Say when a version expires, None for never; the caller commits. Raises UnknownVersion."""
    held = _hold(connection, datastack, number)
    connection.execute(sql("retention", "set_expiry"), held.id, _stored(expires_on))


def end(connection: Connection, datastack: str, number: int) -> None:
    """Mark a version as EXPIRED; the caller commits, then drops.

    Raises BadRequest for a parent, a pinned one, or one that an active run reads or mends.
    """
    held = _hold(connection, datastack, number)
    if children := [name for (name,) in connection.rows(sql("retention", "living_children"), held.id)]:
        raise BadRequest(f"version {number} is read by {', '.join(children)}; end these first", field="version")
    if connection.one("SELECT 1 FROM matengine.pin WHERE analysisversion_id = $1::int", held.id) is not None:
        raise BadRequest(f"version {number} is pinned; unpin it first", field="version")
    if runs := connection.rows(sql("retention", "runs_on", in_use=sql("retention", "in_use")), held.id):
        raise BadRequest(f"version {number} is read or mended by run {runs[0][0]}; let that one end", field="version")
    connection.execute(sql("retention", "expire"), [held.id])


def create_virtual(
    connection: Connection, datastack: str, number: int, name: str, tables: Sequence[str], now: datetime
) -> None:
    """Offer some tables of a version as the version of the same number of datastack `name`; the caller commits.

    Parent and child get the same expiry: a century after the parent's, unless that is far off already; one that
    never expires stays so. Raises UnknownVersion, UnknownTable, TableExists where `name` has that version.
    """
    held = _hold(connection, datastack, number)
    if held.parent is not None:
        raise BadRequest(f"version {number} of {datastack} is virtual itself; name its parent", field="target_version")
    _check_tables(connection, held.id, number, tables)
    if held.expires_on is not None and held.expires_on - now < LONG:
        later = _stored(held.expires_on + EXTENSION)
        connection.execute(sql("retention", "set_expiry"), held.id, later)
    made = connection.one(sql("retention", "insert_virtual"), held.id, name)
    if made is None:
        raise TableExists(f"{name} has a version {number} already; choose another name", field="virtual_version_name")
    connection.execute(sql("retention", "copy_tables"), held.id, made[0], list(tables))


def refuse_virtual(connection: Connection, datastack: str) -> None:
    """Raises OnlyShown for a datastack that shows versions of another: work on it would be work on all of that one."""
    if connection.value(sql("retention", "only_shows"), datastack):
        told = f"datastack {datastack!r} only shows versions of another one; start work on that one"
        raise OnlyShown(told, field="datastack")


def _check_tables(connection: Connection, id_: int, number: int, tables: Sequence[str]) -> None:
    if not tables:
        raise BadRequest("tables_to_include: name at least one table", field="tables_to_include")
    there = [name for (name,) in connection.rows(sql("retention", "table_names"), id_)]
    if missing := sorted(set(tables) - set(there)):
        told = f"version {number} has no table {', '.join(missing)}; there are {', '.join(there) or 'none'}"
        raise UnknownTable(told, field="tables_to_include")


def _stored(moment: datetime | None) -> datetime | None:
    return None if moment is None else moments.naive(moment)
