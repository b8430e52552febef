"""``python -m localcave``: serve the neighbors, or make a world for them."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

import click

from localcave import serving, users
from localcave.app import create_app
from localcave.store import Store
from localcave.world import make


@click.group()
def main() -> None:
    """A local CAVE: chunkedgraph, info, schema and auth services in one process."""


@main.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), required=True, help="Where all state is kept.")
@click.option("--fd", type=int, help="Number of an inherited, bound socket.")
@click.option("--port", type=int, help="Port on 127.0.0.1; 0 takes a free one and prints the URL.")
@click.option("--public-url", help="Base URL under which clients reach these services, if not this one.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True),
    help="JSON list of users; without it all may do all.",
)
def serve(folder: Path, fd: int | None, port: int | None, public_url: str | None, token_file: Path | None) -> None:
    """Serve until SIGTERM."""
    if (fd is None) == (port is None):
        raise click.UsageError("give either --fd or --port")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    known = users.from_file(token_file) if token_file else users.nobody_in_particular()
    with serving.sole_owner(folder):
        store = Store(folder)
        if public_url:
            store.configure({"public_url": public_url})
        listener = serving.inherit(fd) if fd is not None else serving.listen(port or 0)
        click.echo("http://{}:{}".format(*listener.getsockname()))
        serving.serve(create_app(store, known), listener)
        store.close()


@main.group()
def world() -> None:
    """World folders: a segmentation with synapses and a history of edits."""


@world.command("make")
@click.option("--seed", type=int, required=True, help="Equal seeds give equal worlds.")
@click.option("--size", default=256, show_default=True, help="Voxels along each axis.")
@click.option("--synapses", default=20_000, show_default=True)
@click.option("--edits", type=int, help="Length of the history; by default it follows from the number of objects.")
@click.argument("folder", type=click.Path(path_type=Path))
def make_world(seed: int, size: int, synapses: int, edits: int | None, folder: Path) -> None:
    """Make a world nobody has seen before."""
    try:
        figures = make(folder, seed=seed, size=size, synapses=synapses, edits=edits)
    except ValueError as problem:
        raise click.UsageError(str(problem)) from problem
    click.echo(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
