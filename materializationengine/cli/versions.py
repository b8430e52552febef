"""`matengine versions DATASTACK [N]`: what was published, and what is in it."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from ..storage.version_tables import VersionRow, version_rows
from .context import folder_option, json_option, services


@click.command()
@click.argument("datastack")
@click.argument("number", type=int, required=False)
@json_option
@folder_option
def versions(datastack: str, number: int | None, as_json: bool, folder: str | None) -> None:
    """List the versions of a datastack, or one of them with its tables."""
    parts = services(folder)
    stack = parts.datastacks.get(datastack)
    rows = version_rows(parts.cluster, stack, number)
    if as_json:
        click.echo(json.dumps([row.to_json() for row in rows]))
    else:
        Console().print(_table(rows, number is not None))


def _table(rows: list[VersionRow], tables: bool) -> Table:
    shown = Table()
    for heading in ("version", "timestamp", "status", "expires on", *(("table", "rows", "digest") if tables else ())):
        shown.add_column(heading)
    for row in rows:
        expires = row.expires_on.isoformat(timespec="seconds") if row.expires_on else "never"
        head = (str(row.version), row.time_stamp.isoformat(timespec="seconds"), row.status, expires)
        if not tables:
            shown.add_row(*head)
        for table in row.tables if tables else ():
            shown.add_row(*head, table.name, f"{table.rows:,}", table.digest)
    return shown
