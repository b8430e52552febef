"""`matengine stack up | status | down`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ..kernel.processes import ServerError
from . import launcher
from .assembly import Options
from .info import DEFAULT_FOLDER, Layout, StackInfo, locate
from .run import supervise

folder_option = click.option(
    "--dir",
    "folder",
    envvar="MATENGINE_DIR",
    default=DEFAULT_FOLDER,
    show_default=True,
    type=click.Path(file_okay=False),
    help="The stack's folder (or MATENGINE_DIR).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, passwords included.")


@click.group()
def stack() -> None:
    """The whole service on this machine: databases, neighbors, web, workers and clock."""


@stack.command()
@folder_option
@json_option
@click.option("--foreground", is_flag=True, help="Stay, and end the stack on Ctrl-C.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(0), help="Worker processes.")
@click.option("--concurrency", default=2, show_default=True, type=click.IntRange(1), help="Units per worker at once.")
@click.option("--restart/--no-restart", default=True, show_default=True, help="Start fallen processes again.")
@click.option("--durable/--no-durable", default=True, show_default=True, help="Survive a power cut.")
def up(
    folder: str, as_json: bool, foreground: bool, workers: int, concurrency: int, restart: bool, durable: bool
) -> None:
    """Start a stack, or show the one that runs in this folder already.

    SQLALCHEMY_DATABASE_URI and REDIS_URL name servers to use instead of private ones.
    """
    layout, options = Layout(folder), Options(workers, concurrency, restart, durable)
    with _plain_errors():
        if foreground:
            supervise(layout, options, os.environ, lambda info: _show(info, as_json))
        else:
            _show(launcher.up(layout, options, os.environ), as_json)


@stack.command()
@folder_option
@json_option
def status(folder: str, as_json: bool) -> None:
    """Show the stack of this folder; exit code 1 if none runs."""
    with _plain_errors():
        _show(locate(folder), as_json)


@stack.command()
@folder_option
@click.option("--remove-data", is_flag=True, help="Remove the folder too: databases, logs, local CAVE's worlds.")
def down(folder: str, remove_data: bool) -> None:
    """End the stack of this folder and every process of it. Its data stay, unless told otherwise."""
    layout = Layout(folder)
    with _plain_errors():
        ended = launcher.down(layout)
        if remove_data:
            launcher.remove(layout)
    rest = "its data are removed" if remove_data else f"data and logs are in {folder}"
    click.echo(f"stopped; {rest}" if ended else f"no stack ran in {folder}")


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except ServerError as error:
        raise click.ClickException(str(error)) from error


def _show(info: StackInfo, as_json: bool) -> None:
    if as_json:
        click.echo(info.to_json())
        return
    shown = info.masked()
    for name in ("server", "postgres", "redis", "localcave", "dir"):
        click.echo(f"{name:<10} {getattr(shown, name)}")
    click.echo("processes  " + ", ".join(f"{name} {pid}" for name, pid in shown.pids.items()))
