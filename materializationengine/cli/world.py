"""`matengine world`: example worlds, made, loaded into local CAVE, and edited as their history says."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from ..gateways.worlds import LocalWorlds
from .context import Moment, find_stack, folder_option, json_option


@click.group()
def world() -> None:
    """Example worlds for local CAVE."""


@world.command()
@click.argument("target", type=click.Path(file_okay=False))
@click.option("--seed", default=1, show_default=True, help="Equal seeds make equal worlds.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(64), help="Voxels along each axis.")
@click.option("--synapses", default=20_000, show_default=True, type=click.IntRange(1), help="Synapses to place.")
def make(target: str, seed: int, size: int, synapses: int) -> None:
    """Make a world: a segmentation, synapses on it, sixty days of edits, and the truth about both."""
    # Local CAVE's maker pulls in scipy, which no other command needs.
    from localcave.world import make as make_world

    make_world(Path(target), seed=seed, size=size, synapses=synapses)
    click.echo(f"world of {size} voxels a side with {synapses} synapses in {target}")


def _worlds(folder: str | None) -> LocalWorlds:
    stack = find_stack(folder)
    if stack is None:
        raise click.ClickException("no stack is running; start one with `matengine stack up`")
    return LocalWorlds(stack.localcave)


@world.command()
@click.argument("target", type=click.Path(exists=True, file_okay=False))
@click.option("--datastack", required=True, help="Name of the datastack to make.")
@click.option("--until", type=Moment(), help="Apply the edits up to this moment only (default: all).")
@json_option
@folder_option
def load(target: str, datastack: str, until: datetime | None, as_json: bool, folder: str | None) -> None:
    """Load a world into local CAVE as a datastack."""
    _tell(_worlds(folder).load(Path(target).absolute(), datastack, until), as_json)


@world.command()
@click.option("--datastack", required=True, help="The datastack whose history goes on.")
@click.option("--until", type=Moment(), help="Apply the edits up to this moment (default: all).")
@json_option
@folder_option
def edit(datastack: str, until: datetime | None, as_json: bool, folder: str | None) -> None:
    """Let the world's proofreaders go on with their work."""
    _tell(_worlds(folder).edit(datastack, until), as_json)


def _tell(answer: dict[str, object], as_json: bool) -> None:
    click.echo(json.dumps(answer) if as_json else ", ".join(f"{key}: {value}" for key, value in answer.items()))
