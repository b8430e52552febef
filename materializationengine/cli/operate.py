"""`matengine pause`, `unpause` and `schedules`: what an operator does before an upgrade, and asks after a night."""

from __future__ import annotations

import json
import time

import click
from rich.console import Console
from rich.table import Table

from ..bootstrap import Services
from ..storage import run_control, schedules
from ..storage.live_database import ensure
from ..workflows.celery_app import create_celery
from ..workflows.launch import pause_scope, wake
from .context import folder_option, json_option, services

_EVERY = 0.2


@click.command()
@click.argument("datastack", required=False)
@click.option("--reason", default="", help="Why, for whoever wonders.")
@click.option("--wait", is_flag=True, help="Wait until the units that are running have finished.")
@json_option
@folder_option
def pause(datastack: str | None, reason: str, wait: bool, as_json: bool, folder: str | None) -> None:
    """Let running units finish and claim nothing new, of DATASTACK or of all."""
    parts = services(folder)
    scope, databases = pause_scope(parts, datastack)
    run_control.pause(parts.cluster, scope, databases, "command line", reason)
    while wait and _at_work(parts, scope):
        time.sleep(_EVERY)
    _show(parts, as_json)


def _at_work(parts: Services, scope: str) -> int:
    return sum(found.at_work for found in run_control.pauses(parts.cluster) if found.scope == scope)


@click.command()
@click.argument("datastack", required=False)
@json_option
@folder_option
def unpause(datastack: str | None, as_json: bool, folder: str | None) -> None:
    """Let work go on."""
    parts = services(folder)
    scope, databases = pause_scope(parts, datastack)
    if not run_control.unpause(parts.cluster, scope, databases) and not as_json:
        click.echo(f"nothing was paused under {scope!r}", err=True)
    wake(parts, databases, create_celery(parts.settings).send)
    _show(parts, as_json)


def _show(parts: Services, as_json: bool) -> None:
    found = run_control.pauses(parts.cluster)
    if as_json:
        click.echo(json.dumps([each.to_json() for each in found]))
    for each in () if as_json else found:
        click.echo(f"paused: {each.scope} since {each.since.isoformat(timespec='seconds')}, {each.at_work} at work")
    if not found and not as_json:
        click.echo("nothing is paused")


@click.command("schedules")
@click.argument("name", required=False)
@json_option
@folder_option
def schedules_command(name: str | None, as_json: bool, folder: str | None) -> None:
    """Show what schedules fired, and why they skipped."""
    parts = services(folder)
    ensure(parts.cluster, parts.cluster.home)
    with parts.cluster.connect(purpose="list firings") as connection:
        found = schedules.firings(connection, name)
    if as_json:
        click.echo(json.dumps([each.to_json() for each in found]))
        return
    table = Table()
    for heading in ("schedule", "slot", "outcome", "runs", "reason"):
        table.add_column(heading)
    for each in found:
        table.add_row(each.schedule, each.slot.isoformat(), each.outcome, " ".join(each.runs), each.reason)
    Console().print(table)
