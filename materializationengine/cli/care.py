"""`matengine backup` and `restore`: what cannot be made again is kept, what can be is made again and compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .. import __version__
from ..bootstrap import Services
from ..domain.backups import SavedVersion
from ..domain.plan import RunKind, RunStatus, to_json
from ..kernel import moments
from ..kernel.processes import ServerError
from ..storage import backup, restore
from ..workflows.inline import run_here
from ..workflows.requests import RunRequest
from .context import folder_option, json_option, services


@click.command("backup")
@click.argument("target", type=click.Path(file_okay=False))
@click.option("--with-versions", is_flag=True, help="Frozen versions too; else a restore makes them anew.")
@json_option
@folder_option
def backup_command(target: str, with_versions: bool, as_json: bool, folder: str | None) -> None:
    """Write every live database, with ledger, registry and root history, into the new folder TARGET."""
    parts = services(folder)
    with _plain_errors():
        made = backup.back_up(
            parts.cluster, Path(target), engine=__version__, now=moments.now(), with_versions=with_versions
        )
    if as_json:
        click.echo(json.dumps(to_json(made)))
        return
    for saved in made.databases:
        left = sum(version.dump is None for version in saved.versions)
        told = f", {left} frozen versions left out: a restore makes them anew" if left else ""
        click.echo(f"{saved.name}: {saved.dump.bytes:,} bytes, layout {saved.layout}{told}")


@click.command("restore")
@click.argument("source", type=click.Path(file_okay=False))
@click.option("--rebuild/--no-rebuild", default=True, show_default=True, help="Make frozen versions anew.")
@json_option
@folder_option
def restore_command(source: str, rebuild: bool, as_json: bool, folder: str | None) -> None:
    """Bring back the backup in the folder SOURCE on a server that holds none of its databases."""
    parts = services(folder)
    with _plain_errors():
        manifest = backup.read_manifest(Path(source))
        lost = restore.restore(parts.cluster, Path(source), manifest)
    rebuilt = [_rebuild(parts, version) for version in lost] if rebuild else []
    if as_json:
        click.echo(json.dumps({"databases": [saved.name for saved in manifest.databases], "versions": rebuilt}))
    else:
        _tell(lost, rebuilt)
    if any(each["error"] for each in rebuilt):
        sys.exit(1)


def _rebuild(parts: Services, lost: SavedVersion) -> dict[str, object]:
    request = RunRequest(RunKind.FREEZE, lost.datastack, rebuilds=lost.version, requested_by="restore")
    run = run_here(parts, request, "matengine restore")
    error = None if run.status is RunStatus.SUCCEEDED else run.error
    return {"datastack": lost.datastack, "version": lost.version, "run": run.id, "error": error}


def _tell(lost: tuple[SavedVersion, ...], rebuilt: list[dict[str, object]]) -> None:
    for each in rebuilt:
        said = each["error"] or "made anew, equal to what was published"
        click.echo(f"{each['datastack']} version {each['version']}: {said}")
    for version in () if rebuilt else lost:
        click.echo(
            f"{version.datastack} version {version.version} was not in the backup; "
            f"`matengine run freeze {version.datastack} --rebuilds {version.version}` makes it anew"
        )


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except ServerError as error:
        raise click.ClickException(str(error)) from error
