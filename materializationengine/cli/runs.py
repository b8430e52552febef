"""`matengine runs [ID]`: the ledger on a terminal."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from ..bootstrap import Services
from ..domain.records import RunRecord
from ..storage import run_control
from ..storage.run_records import find_run, list_runs
from ..workflows.celery_app import create_celery
from ..workflows.launch import resume, retry
from .context import folder_option, json_option, services
from .progress import show_record, watch


@click.command()
@click.argument("run_id", required=False)
@click.option("--watch", "watching", is_flag=True, help="Follow the run to its end.")
@click.option("--cancel", "deed", flag_value="cancel", help="End the run; what it made so far is dropped.")
@click.option("--retry", "deed", flag_value="retry", help="Start a new run of the same request.")
@click.option("--resume", "deed", flag_value="resume", help="Let a failed or cancelled run go on where it ended.")
@click.option("--datastack", help="Only the runs of one datastack.")
@json_option
@folder_option
def runs(
    run_id: str | None, watching: bool, deed: str | None, datastack: str | None, as_json: bool, folder: str | None
) -> None:
    """Show the newest runs, or one of them with its steps; or cancel, retry or resume one."""
    parts = services(folder)
    if deed is not None:
        if run_id is None:
            raise click.UsageError(f"--{deed} needs the id of a run")
        run_id = _do(parts, run_id, deed)
    if run_id is None:
        _list(list_runs(parts.cluster, datastack), as_json)
    elif watching:
        find_run(parts.cluster, run_id)
        show_record(watch(parts.cluster, run_id, quiet=as_json), as_json)
    else:
        show_record(find_run(parts.cluster, run_id, units=True), as_json)


def _do(parts: Services, run_id: str, deed: str) -> str:
    """The deed; returns the id of the run to show, which a retry makes."""
    if deed == "cancel":
        run_control.cancel(parts.cluster, run_id, "command line")
        return run_id
    send = create_celery(parts.settings).send
    if deed == "resume":
        return resume(parts, run_id, send).id
    return retry(parts, run_id, send, "command line").id


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
