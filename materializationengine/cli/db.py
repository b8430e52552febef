"""`matengine db`: the layout of live databases, looked at and brought up to date."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from ..bootstrap import Services
from ..storage.live_database import Layout, ensure, exists, layout, live_databases
from ..storage.roles import ENGINE, OWNER, READER, make_roles
from .context import folder_option, json_option, services


@click.group()
def db() -> None:
    """The live databases: their layout and its upgrade."""


@db.command()
@click.argument("datastack", required=False)
@json_option
@folder_option
def current(datastack: str | None, as_json: bool, folder: str | None) -> None:
    """Show the layout of DATASTACK's live database, or of all; exit code 2 unless all are up to date."""
    parts = services(folder)
    found = [layout(parts.cluster, name) for name in _databases(parts, datastack) if exists(parts.cluster, name)]
    _show(found, as_json)
    if any(each.state != "up to date" for each in found):
        sys.exit(2)


@db.command()
@click.argument("datastack", required=False)
@json_option
@folder_option
def upgrade(datastack: str | None, as_json: bool, folder: str | None) -> None:
    """Bring DATASTACK's live database, or the home database and all, to this release's layout."""
    parts = services(folder)
    names = _databases(parts, datastack)
    for name in names:
        ensure(parts.cluster, name)
    _show([layout(parts.cluster, name) for name in names], as_json)


@db.command()
@click.option("--adopt", multiple=True, metavar="DATABASE", help="A database that CAVE made; may be repeated.")
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Holds the engine's new password; - is stdin.",
)
@folder_option
def roles(adopt: tuple[str, ...], password_file: str | None, folder: str | None) -> None:
    """Make the roles matengine_owner, matengine_engine and analysis_user, and hand them the databases.

    Run it as an administrator of the server, once, and again to adopt a database or to change the password.
    """
    parts = services(folder)
    password = None if password_file is None else _password(password_file)
    for name in make_roles(parts.cluster, adopt, password):
        click.echo(f"{name}: owned by {OWNER}")
    click.echo(f"the engine logs in as {ENGINE}; analysts' logins are members of {READER}")


def _password(path: str) -> str:
    try:
        with click.open_file(path, encoding="utf-8") as file:
            password = file.read().strip()
    except OSError as error:
        raise click.UsageError(f"the password file cannot be read: {error}") from error
    if not password:
        raise click.UsageError("the password file is empty")
    return password


def _databases(parts: Services, datastack: str | None) -> list[str]:
    if datastack is not None:
        return [parts.datastacks.get(datastack).aligned_volume]
    return sorted({parts.cluster.home, *live_databases(parts.cluster)})


def _show(found: list[Layout], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{**asdict(each), "state": each.state} for each in found]))
        return
    for each in found:
        click.echo(f"{each.database}: layout {each.current or 'none'}, {each.state} ({each.newest} is the newest)")
