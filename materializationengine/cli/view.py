"""`matengine view create|refresh|drop`: views over annotation tables, from a file of SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..domain.datastack import Datastack
from ..kernel.columns import Connection
from ..storage import views
from ..storage.live_database import ensure
from .context import folder_option, services


@click.group()
def view() -> None:
    """Views that versions offer beside their tables."""


def _named(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (folder_option, click.argument("name"), click.argument("datastack")):
        command = option(command)
    return command


@contextmanager
def _live(folder: str | None, datastack: str) -> Iterator[tuple[Connection, Datastack]]:
    parts = services(folder)
    stack = parts.datastacks.get(datastack)
    ensure(parts.cluster, stack.aligned_volume)
    with parts.cluster.connect(stack.aligned_volume, "views") as connection:
        yield connection, stack
        connection.commit()


@view.command()
@_named
@click.option("--sql", "file", required=True, type=click.Path(exists=True, dir_okay=False), help="One SELECT.")
@click.option("--description", required=True, help="What the view shows.")
@click.option("--notice", help="A word from its owner to its readers.")
@click.option("--materialized", is_flag=True, help="Keep the rows instead of asking for them each time.")
@click.option("--live", is_flag=True, help="Build it in the live database too, over the rows that are current.")
def create(
    datastack: str,
    name: str,
    file: str,
    description: str,
    notice: str | None,
    materialized: bool,
    live: bool,
    folder: str | None,
) -> None:
    """Define view NAME by a SELECT over tables as a merged version has them; later versions build it."""
    with _live(folder, datastack) as (connection, stack):
        views.create(
            connection,
            stack,
            views.View(
                name=name,
                datastack=datastack,
                definition=Path(file).read_text(encoding="utf-8"),
                description=description,
                materialized=materialized,
                live=live,
                notice=notice,
                resolution=stack.viewer_resolution,
            ),
        )
    click.echo(f"view {name}: defined; the next version of {datastack} has it")


@view.command()
@_named
def refresh(datastack: str, name: str, folder: str | None) -> None:
    """Build a live view anew from its definition."""
    with _live(folder, datastack) as (connection, stack):
        views.refresh(connection, stack, name)
    click.echo(f"view {name}: refreshed")


@view.command()
@_named
def drop(datastack: str, name: str, folder: str | None) -> None:
    """Forget a view; versions that hold it keep it."""
    with _live(folder, datastack) as (connection, stack):
        views.drop(connection, stack, name)
    click.echo(f"view {name}: dropped")
