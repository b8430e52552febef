"""``python -m localcave``: serve the neighbors, or make a world for them."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

import click

from localcave import serving, times, users
from localcave.app import create_app
from localcave.directory import Written
from localcave.errors import ServiceError
from localcave.making import labels as from_labels
from localcave.making.labels import Cut
from localcave.store import Store
from localcave.world import make


@click.group()
def main() -> None:
    """A local CAVE: chunkedgraph, info, schema and auth services in one process."""


@main.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), required=True, help="Where all state is kept.")
@click.option("--fd", type=int, help="Number of an inherited, bound socket.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one. The URL is printed.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--public-url", help="Base URL under which clients reach these services, if not this one.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True),
    help="JSON with users, groups and datasets; without it all may do all.",
)
@click.option(
    "--info-file",
    type=click.Path(path_type=Path, exists=True),
    help="JSON with further aligned volumes and datastacks.",
)
def serve(
    folder: Path,
    fd: int | None,
    port: int | None,
    host: str,
    public_url: str | None,
    token_file: Path | None,
    info_file: Path | None,
) -> None:
    """Serve until SIGTERM."""
    if (fd is None) == (port is None):
        raise click.UsageError("give either --fd or --port")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        accepted = folder / "accepted_tos.json"
        known = users.from_file(token_file, accepted) if token_file else users.nobody_in_particular()
        written = Written.read(info_file) if info_file else Written()
    except (ValueError, KeyError) as problem:
        raise click.UsageError(str(problem)) from problem
    with serving.sole_owner(folder):
        store = _opened(folder)
        if public_url:
            store.configure({"public_url": public_url})
        listener = serving.inherit(fd) if fd is not None else serving.listen(host, port or 0)
        click.echo("http://{}:{}".format(*listener.getsockname()))
        serving.serve(create_app(store, known, written), listener)
        store.close()


def _opened(folder: Path) -> Store:
    try:
        return Store(folder)
    except ServiceError as problem:
        raise click.ClickException(str(problem)) from problem


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


@world.command("cut")
@click.option("--resolution", default="16,16,40", show_default=True, help="A voxel's size in nanometers, x,y,z.")
@click.option("--chunk", default=64, show_default=True, help="The graph's chunk in voxels.")
@click.option("--block", type=int, help="Cut supervoxels along blocks of so many voxels too, to allow finer splits.")
@click.option("--join", is_flag=True, help="Make all of a label one object, even what does not touch.")
@click.option("--created", default="2026-01-01T00:00:00+00:00", show_default=True, help="The graph's birth.")
@click.argument("labels")
@click.argument("folder", type=click.Path(path_type=Path))
def cut_world(
    resolution: str, chunk: int, block: int | None, join: bool, created: str, labels: str, folder: Path
) -> None:
    """Make a world of LABELS: a .npy file (x, y, z), or the URL of a precomputed volume."""
    try:
        x, y, z = (float(size) for size in resolution.split(","))
        birth = times.to_datetime(times.from_iso(created))
        figures = from_labels.make(from_labels.read(labels), folder, Cut((x, y, z), birth, chunk, block, join))
    except (ValueError, OSError, ServiceError) as problem:
        raise click.UsageError(str(problem)) from problem
    click.echo(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
