"""`matengine verify DATASTACK N`: whether a version still holds what was published."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from ..storage.version_content import Compared, compare
from .context import folder_option, json_option, services


@click.command()
@click.argument("datastack")
@click.argument("number", type=int)
@json_option
@folder_option
def verify(datastack: str, number: int, as_json: bool, folder: str | None) -> None:
    """Recompute the digests of a version and compare them with what was published; exit code 1 if one differs."""
    parts = services(folder)
    found = []
    for table in compare(parts.cluster, parts.datastacks.get(datastack), number):
        found.append(table)
        if not as_json:
            click.echo(_line(table))
    if as_json:
        click.echo(json.dumps([_record(table) for table in found]))
    sys.exit(0 if all(table.same for table in found) else 1)


def _record(table: Compared) -> dict[str, Any]:
    found = {"rows": table.found.rows, "digest": table.found.digest}
    published = {"rows": table.rows, "digest": table.digest}
    return {"table": table.table, "found": found, **published, "same": table.same}


def _line(table: Compared) -> str:
    held = f"{table.table}: {table.found.rows:,} rows, {table.found.digest}"
    if table.same:
        return held + (", as published" if table.digest else ", of which no digest was published")
    return f"{held}; PUBLISHED WERE {table.rows} rows, {table.digest}"
