"""`matengine runs [ID]`: the ledger on a terminal."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from ..domain.records import RunRecord
from ..storage.run_records import find_run, list_runs
from .context import folder_option, json_option, services
from .progress import show_record, watch


@click.command()
@click.argument("run_id", required=False)
@click.option("--watch", "watching", is_flag=True, help="Follow the run to its end.")
@click.option("--datastack", help="Only the runs of one datastack.")
@json_option
@folder_option
def runs(run_id: str | None, watching: bool, datastack: str | None, as_json: bool, folder: str | None) -> None:
    """Show the newest runs, or one of them with its steps."""
    parts = services(folder)
    if run_id is None:
        _list(list_runs(parts.cluster, datastack), as_json)
    elif watching:
        find_run(parts.cluster, run_id)
        show_record(watch(parts.cluster, run_id, quiet=as_json), as_json)
    else:
        show_record(find_run(parts.cluster, run_id, units=True), as_json)


def _list(records: list[RunRecord], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([record.to_json() for record in records]))
        return
    table = Table()
    for heading in ("id", "kind", "datastack", "timestamp", "status", "version", "progress"):
        table.add_column(heading)
    for record in records:
        as_of = record.as_of.isoformat(timespec="seconds") if record.as_of else ""
        version = str(record.version or "")
        cells = (record.id, str(record.kind), record.datastack or "", as_of, str(record.status), version)
        table.add_row(*cells, f"{record.progress:.0%}")
    Console().print(table)
