"""`matengine versions DATASTACK [N]`: what was published, and what is in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import click
from rich.console import Console
from rich.table import Table

from ..bootstrap import Services
from ..domain.datastack import Datastack
from ..storage import retention, version_care
from ..storage.live_database import ensure
from ..storage.version_tables import VersionRow, version_rows
from .context import Moment, folder_option, json_option, services


@click.command()
@click.argument("datastack")
@click.argument("number", type=int, required=False)
@click.option("--pin/--unpin", "pinned", default=None, help="Keep it whatever its expiry, or no more.")
@click.option("--expires", help="When it expires: a moment in ISO 8601, or `never`.")
@click.option("--drop", "dropping", is_flag=True, help="End it and drop its database.")
@json_option
@folder_option
def versions(
    datastack: str,
    number: int | None,
    pinned: bool | None,
    expires: str | None,
    dropping: bool,
    as_json: bool,
    folder: str | None,
) -> None:
    """List the versions of a datastack, or one of them with its tables; or change how long one lives."""
    parts = services(folder)
    stack = parts.datastacks.get(datastack)
    change = Change(pinned, _expiry(expires), expires is not None, dropping)
    if change.asked:
        if number is None:
            raise click.UsageError("--pin, --unpin, --expires and --drop need the number of a version")
        _change(parts, stack, number, change)
    rows = version_rows(parts.cluster, stack, number)
    if as_json:
        click.echo(json.dumps([row.to_json() for row in rows]))
    else:
        Console().print(_table(rows, number is not None))


def _expiry(text: str | None) -> datetime | None:
    return None if text is None or text == "never" else Moment().convert(text, None, None)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be changed of a version."""

    pinned: bool | None
    expires_on: datetime | None
    expiry_given: bool
    dropping: bool

    @property
    def asked(self) -> bool:
        """Whether anything is."""
        return self.pinned is not None or self.expiry_given or self.dropping


def _change(parts: Services, stack: Datastack, number: int, change: Change) -> None:
    ensure(parts.cluster, stack.aligned_volume)
    with parts.cluster.connect(stack.aligned_volume, "change version") as connection:
        if change.pinned is not None:
            version_care.set_pin(connection, stack.name, number, change.pinned, "command line")
        if change.expiry_given:
            version_care.set_expiry(connection, stack.name, number, change.expires_on)
        if change.dropping:
            version_care.end(connection, stack.name, number)
        connection.commit()
        if change.dropping:
            retention.drop(parts.cluster, connection, stack.name, number)


def _table(rows: list[VersionRow], tables: bool) -> Table:
    shown = Table()
    for heading in ("version", "timestamp", "status", "expires on", *(("table", "rows", "digest") if tables else ())):
        shown.add_column(heading)
    for row in rows:
        head = (str(row.version), row.time_stamp.isoformat(timespec="seconds"), row.status, _kept(row))
        if not tables:
            shown.add_row(*head)
        for table in row.tables if tables else ():
            shown.add_row(*head, table.name, f"{table.rows:,}", table.digest)
    return shown


def _kept(row: VersionRow) -> str:
    """A line of its own for the pin: one more column would not fit a terminal of 80 characters."""
    expires = row.expires_on.isoformat(timespec="seconds") if row.expires_on else "never"
    return f"{expires}\n(pinned)" if row.pinned else expires
