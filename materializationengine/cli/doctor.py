"""`matengine doctor` and `matengine config`: what is wrong here, and what was this process told."""

from __future__ import annotations

import json
import sys
import time

import click

from ..config import Settings
from ..config_cave import ignored
from ..domain.health import Finding, Light
from ..watch import checks, datastacks
from .context import environment, folder_option, json_option, services

_MARKS = {Light.GREEN: "ok  ", Light.YELLOW: "note", Light.RED: "FAIL"}
_FAILED = 2


@click.command()
@click.argument("datastack", required=False)
@json_option
@folder_option
def doctor(datastack: str | None, as_json: bool, folder: str | None) -> None:
    """Check the service, and what runs on DATASTACK need. Exit code 2 if anything fails."""
    parts = services(folder)
    look = checks.Look(parts, time.time)
    censor = parts.settings.censor()
    try:
        found = checks.service(look) + (datastacks.thorough(look, datastack) if datastack else [])
    finally:
        parts.close()
    if as_json:
        click.echo(censor(json.dumps([each.to_json() for each in found])))
    for each in () if as_json else found:
        click.echo(censor(_line(each)))
    sys.exit(_FAILED if any(each.light is Light.RED for each in found) else 0)


def _line(found: Finding) -> str:
    where = f"{found.datastack} {found.check}".strip()
    fix = f". Fix: {found.fix}" if found.fix else ""
    return f"{_MARKS[found.light]} {where}: {found.told}{fix}"


@click.command("config")
@json_option
@folder_option
def config_command(as_json: bool, folder: str | None) -> None:
    """Show the effective settings, secrets left out, and CAVE's names that have no effect here."""
    told = environment(folder)
    settings = Settings.from_env(told)
    if as_json:
        click.echo(json.dumps(settings.shown(), indent=2))
        return
    for name, value in settings.shown().items():
        click.echo(f"{name}={value}")
    for name, why in ignored(told).items():
        click.echo(f"# {name} has no effect: {why}")
