"""`python -m bench`: what the engine costs, each part beside the floor of the same work in the same run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from materializationengine.kernel import moments
from materializationengine.stack import launcher
from materializationengine.stack.assembly import Options
from materializationengine.stack.info import DEFAULT_FOLDER, Layout

from . import guard as rules
from . import kept, main_job, plans, points, sections, shown
from .kept import Record
from .sections import Task

only = click.option(
    "--only",
    "chosen",
    multiple=True,
    type=click.Choice(list(sections.SECTIONS)),
    help="Sections; the others in a file of this commit stay. Default: all.",
)
rounds_option = click.option("--rounds", default=3, show_default=True, help="How often; medians are shown.")
folder_option = click.option(
    "--folder", type=click.Path(path_type=Path), default=kept.HISTORY, show_default=True, help="Of kept measurements."
)


@click.group()
def main() -> None:
    """Measure the engine beside the floor: what the same work costs at least, in the same run."""


@main.command()
@click.option("--rows", default=plans.FULL_ROWS, show_default=True, help="Synapses.")
@click.option("--growth/--no-growth", default=True, show_default=True, help="Other sizes too, for the exponents.")
@rounds_option
@only
@folder_option
def full(rows: int, growth: bool, rounds: int, chosen: Sequence[str], folder: Path) -> None:
    """Every part at a million rows, and how its cost grows."""
    sizes = plans.GROWTH_ROWS if growth else ()
    _keep(plans.tasks(rows, rounds, chosen, growth=sizes), Record("full", folder, moments.now(), chosen))


@main.command()
@click.option("--rows", default=plans.QUICK_ROWS, show_default=True, help="Synapses.")
@click.option("--guard", is_flag=True, help="Keep nothing; end with an error where a ratio is worse than the kept one.")
@rounds_option
@only
@folder_option
def quick(rows: int, guard: bool, rounds: int, chosen: Sequence[str], folder: Path) -> None:
    """Every part at a hundred thousand rows, in a few minutes."""
    tasks = list(plans.tasks(rows, rounds, chosen))
    if guard:
        _guard(tasks, folder)
    else:
        _keep(tasks, Record("quick", folder, moments.now(), chosen))


@main.command()
@click.argument("name", type=click.Choice(list(sections.SECTIONS)))
@click.option("--rows", default=plans.QUICK_ROWS, show_default=True)
@rounds_option
def section(name: str, rows: int, rounds: int) -> None:
    """Measure one section in this process: a line of JSON for each figure."""
    # So that clusters and folders go when somebody ends the program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with sections.own_output() as out:
        sections.serve(Task(name, rows, rounds), out)


@main.command()
@click.option("--world", type=click.Path(exists=True, file_okay=False), default=str(points.EM512), show_default=True)
@click.option("--dir", "folder", default=DEFAULT_FOLDER, envvar="MATENGINE_DIR", show_default=True)
@rounds_option
def stack(world: str, folder: str, rounds: int) -> None:
    """Measure the main job on a running stack, or on one that is started for it."""
    running = launcher.up(Layout(folder), Options(), os.environ)
    found = []
    for number in range(rounds):
        name = f"{main_job.unique_name(moments.now())}{number}"
        found.append(main_job.measure(running, Path(world).absolute(), name))
    table = Table(title=f"median of {rounds}")
    for heading in ("work", "seconds", "at most", "floor (bare SQL of the freeze)", "ratio"):
        table.add_column(heading)
    for figures in zip(*found, strict=True):
        middle = sorted(figures, key=lambda figure: figure.seconds)[len(figures) // 2]
        ratio = middle.seconds / middle.floor
        table.add_row(
            middle.name, f"{middle.seconds:.2f}", f"{middle.at_most:g}", f"{middle.floor:.2f}", f"{ratio:.1f}"
        )
    Console().print(table)


def _keep(tasks: Iterable[Task], record: Record) -> None:
    """Measure, keeping every part as soon as it is there. Ends with an error where a section failed."""
    try:
        _measure(tasks, record)
        record.finish()
    finally:
        # Also of a measurement that is interrupted.
        shown.show(record)
    if record.failed:
        raise click.ClickException("not measured: " + ", ".join(record.failed))


def _measure(tasks: Iterable[Task], record: Record) -> None:
    for task in tasks:
        sections.measure(task, record)


def _guard(tasks: Sequence[Task], folder: Path) -> None:
    """Compare with the newest kept quick measurement, and look a second time at what seems worse."""
    before = kept.newest("quick", folder)
    if before is None:
        raise click.ClickException("there is no kept quick measurement to compare with; run `make bench-quick`")
    record = Record("guard", None, moments.now())
    _measure(tasks, record)
    shown.show(record)
    worse = rules.worsened(before, record.summaries())
    failed = dict(record.failed)
    if worse:
        click.echo("worse at first look:\n" + "\n".join(worse.values()), err=True)
        suspected = {record.sections[part] for part in worse}
        again = Record("guard", None, moments.now())
        _measure([task for task in tasks if task.section in suspected], again)
        worse = {part: said for part, said in rules.worsened(before, again.summaries()).items() if part in worse}
        failed |= again.failed
    if failed or worse:
        raise click.ClickException("\n".join([*(f"{name}: {said}" for name, said in failed.items()), *worse.values()]))
    click.echo(f"no part is worse than in {before['commit']}")


if __name__ == "__main__":
    sys.exit(main())
