"""`matengine demo`: the main job from end to end, on a made world or on one of yours, told as it goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from ..bootstrap import Services
from ..config import Settings
from ..domain.plan import RunKind, RunStatus
from ..domain.records import RunRecord
from ..gateways.worlds import LocalWorlds
from ..kernel import moments
from ..stack import launcher
from ..stack.assembly import Options
from ..stack.info import DEFAULT_FOLDER, Layout, StackInfo, described
from ..storage.version_tables import ids_in_order
from ..workflows.celery_app import create_celery
from ..workflows.launch import launch
from ..workflows.requests import RunRequest, UploadRequest
from .progress import watch

PIP_LINE = "pip install 'caveclient==8.2.1' 'pandas<3'"
FIRST_DAY, LAST_DAY = 15, 61
MAPPING = {
    "id": "id",
    "presyn_coords": "pre_pt_position",
    "postsyn_coords": "post_pt_position",
    "center_coords": "ctr_pt_position",
    "sizes": "size",
}
out = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the demo plays: the stack, the world, the datastack made of it, and the graph's birth."""

    stack: StackInfo
    services: Services
    world: Path
    datastack: str
    born: datetime

    def day(self, number: int) -> datetime:
        """A moment of the world's history."""
        return self.born + timedelta(days=number)


@click.command()
@click.option("--world", type=click.Path(exists=True, file_okay=False), help="A world folder (default: one is made).")
@click.option(
    "--dir", "folder", envvar="MATENGINE_DIR", default=DEFAULT_FOLDER, show_default=True, help="The stack's folder."
)
@click.option("--client-python", type=click.Path(), help="A Python that has caveclient, to post annotations with it.")
def demo(world: str | None, folder: str, client_python: str | None) -> None:
    """Upload synapses, look them up, freeze, let neurons be edited, freeze again, and show what changed."""
    scene = _set_the_scene(Path(world).absolute() if world else None, Path(folder).absolute())
    runs = [_upload(scene), _complete(scene, FIRST_DAY)]
    out.print("\n[bold]Proofreaders merge and split neurons.[/bold]")
    edited = LocalWorlds(scene.stack.localcave).edit(scene.datastack, None)
    out.print(f"{edited['edits_applied']} edits applied")
    runs.append(_complete(scene, LAST_DAY))
    _compare(scene, runs[1].version, runs[2].version)
    if client_python:
        runs += _annotate(scene, client_python)
    _tell_steps(runs)
    _farewell(scene)


def _set_the_scene(world: Path | None, folder: Path) -> Scene:
    out.print("[bold]Starting the stack[/bold]: PostgreSQL, Redis, local CAVE, web, workers, beat")
    stack = described(os.environ) or launcher.up(Layout(folder), Options(), os.environ)
    services = Services(Settings.from_env({**os.environ, **stack.environment()}), "matengine demo")
    if world is None:
        world = folder / "worlds" / "demo"
        if not world.exists():
            _make(world)
    born = moments.parse(json.loads((world / "about.json").read_text(encoding="utf-8"))["created"])
    scene = Scene(stack, services, world, _free_name(services), born)
    counts = LocalWorlds(stack.localcave).load(world, scene.datastack, scene.day(FIRST_DAY))
    out.print(f"world {world}: {counts['supervoxels']:,} supervoxels, {counts['objects']:,} objects at day {FIRST_DAY}")
    return scene


def _make(world: Path) -> None:
    # Local CAVE's maker pulls in scipy, which no other command needs.
    from localcave.world import make

    make(world, seed=1, size=256, synapses=20_000)


def _free_name(services: Services) -> str:
    """The first of demo, demo2, ... that no earlier demo took."""
    taken = set(services.datastacks.names())
    number = 1
    while (name := f"demo{number if number > 1 else ''}") in taken:
        number += 1
    return name


def _run(scene: Scene, request: RunRequest) -> RunRecord:
    services = scene.services
    record = launch(services, request, create_celery(services.settings).send)
    record = watch(services.cluster, record.id)
    if record.status is not RunStatus.SUCCEEDED:
        out.print(f"[red]{record.kind} {record.status}: {record.error}[/red]")
        sys.exit(1)
    return record


def _upload(scene: Scene) -> RunRecord:
    out.print(f"\n[bold]Bulk upload[/bold] of {scene.world / 'annotations/synapses'}")
    columns = str(scene.world / "annotations/synapses")
    resolution = tuple(json.loads((scene.world / "about.json").read_text(encoding="utf-8"))["resolution_nm"])
    upload = UploadRequest("synapses", "synapse", columns, MAPPING, created=scene.born, resolution=resolution)
    return _run(scene, RunRequest(RunKind.BULK_UPLOAD, scene.datastack, upload=upload, requested_by="demo"))


def _complete(scene: Scene, day: int | None) -> RunRecord:
    as_of = None if day is None else scene.day(day)
    out.print(f"\n[bold]Complete workflow[/bold] at {'now' if as_of is None else as_of.isoformat()}")
    request = RunRequest(RunKind.COMPLETE, scene.datastack, as_of=as_of, expires_in_days=0, requested_by="demo")
    record = _run(scene, request)
    out.print(f"version {record.version} is available")
    return record


def _compare(scene: Scene, first: int | None, second: int | None) -> None:
    """Where the two versions differ, from the two databases themselves."""
    roots = ("pre_pt_root_id", "post_pt_root_id")
    ids = [
        ids_in_order(scene.services.cluster, scene.datastack, version or 0, "synapses", roots)
        for version in (first, second)
    ]
    changed = int((ids[0] != ids[1]).any(axis=1).sum())
    neurons = [len(np.unique(part)) - int((part == 0).any()) for part in ids]
    out.print(
        f"\nversion {first} has {neurons[0]:,} neurons at its synapses, version {second} has {neurons[1]:,}; "
        f"of {len(ids[0]):,} synapses [bold]{changed:,} have another root id[/bold]"
    )


def _annotate(scene: Scene, python: str) -> list[RunRecord]:
    out.print("\n[bold]Three annotations, posted with client.annotation[/bold]")
    posted = _client(scene, python, "post")
    out.print(f"ids {posted['ids']}")
    runs = [_run(scene, RunRequest(RunKind.INGEST, scene.datastack, requested_by="demo")), _complete(scene, None)]
    found = _client(scene, python, "find", str(runs[-1].version), ",".join(map(str, posted["ids"])))
    out.print(f"caveclient finds them in version {runs[-1].version}, with root ids {found['roots']}")
    return runs


def _client(scene: Scene, python: str, *words: str) -> dict[str, Any]:
    """Run the demo's few lines of caveclient in the Python that has it."""
    script = str(files(__package__).joinpath("demo_client.py"))
    command = [python, script, scene.stack.server, scene.datastack, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"caveclient failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _tell_steps(runs: list[RunRecord]) -> None:
    table = Table(title="\nWhat it did", title_justify="left")
    for heading in ("run", "step", "rows", "seconds"):
        table.add_column(heading, justify="left" if heading in ("run", "step") else "right")
    for run in runs:
        made = f" -> version {run.version}" if run.version else ""
        for number, step in enumerate(run.steps):
            head = f"{run.kind}{made}" if number == 0 else ""
            table.add_row(head, step.name, f"{step.rows:,}", f"{step.seconds:.2f}")
    out.print(table)


def _farewell(scene: Scene) -> None:
    out.print(f"\nThe stack stays up at [bold]{scene.stack.server}[/bold] (`matengine stack down` ends it).")
    out.print("Go on from Python:\n")
    out.print(f"    {PIP_LINE}\n", markup=False)
    out.print("    from caveclient import CAVEclient", markup=False)
    out.print(f'    client = CAVEclient("{scene.datastack}", server_address="{scene.stack.server}")', markup=False)
    out.print('    client.materialize.query_table("synapses", limit=10)\n', markup=False)
