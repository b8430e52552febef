"""`python -m bench`: what the engine costs, each part beside the bare SQL of the same work in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from materializationengine.kernel import moments
from materializationengine.stack import launcher
from materializationengine.stack.assembly import Options
from materializationengine.stack.info import DEFAULT_FOLDER, Layout

from . import engine, main_job, report
from .cluster import ground
from .engine import Figure

EM512 = Path(__file__).parents[2] / "shared/data/em512"
PARTS = (*engine.PARTS, "incremental")
QUICK_ROWS, FULL_ROWS = 100_000, 1_000_000
GROWTH_ROWS = (100_000, 300_000, 1_000_000, 3_000_000)


@click.group()
def main() -> None:
    """Measure the engine beside the floor: the bare SQL of the same work, on the same cluster, in the same run."""


@main.command()
@click.option("--rows", default=FULL_ROWS, show_default=True, help="Synapses.")
@click.option("--rounds", default=3, show_default=True, help="How often; medians are shown.")
@click.option("--growth/--no-growth", default=True, show_default=True, help="Other sizes too, for the exponents.")
def full(rows: int, rounds: int, growth: bool) -> None:
    """Every part at a million rows, and how its cost grows."""
    figures = _measured(rows, rounds, PARTS)
    for size in GROWTH_ROWS if growth else ():
        if size != rows:
            figures += _measured(size, 1, PARTS)
    _tell("full", figures, rows)


@main.command()
@click.option("--rounds", default=3, show_default=True, help="How often; medians are shown.")
@click.option("--guard", is_flag=True, help="End with an error where a ratio is worse than in the newest kept run.")
def quick(rounds: int, guard: bool) -> None:
    """Every part at a hundred thousand rows, in a few minutes."""
    before = report.newest("quick")
    figures = _measured(QUICK_ROWS, rounds, PARTS)
    if not guard:
        _tell("quick", figures, QUICK_ROWS)
        return
    summaries = report.summarize(figures)
    _show(summaries)
    if before is None:
        raise click.ClickException("there is no kept quick measurement to compare with; run `make bench-quick`")
    if worse := report.worsened(before, summaries):
        raise click.ClickException("\n".join(worse))


@main.command()
@click.option("--world", type=click.Path(exists=True, file_okay=False), default=str(EM512), show_default=True)
@click.option("--dir", "folder", default=DEFAULT_FOLDER, envvar="MATENGINE_DIR", show_default=True)
@click.option("--rounds", default=3, show_default=True, help="How often; the table shows the median of each figure.")
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


def _measured(rows: int, rounds: int, parts: Sequence[str]) -> list[Figure]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="bench", dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        folder = Path(name)
        with ground(folder) as found, engine.bench(found, rows, folder) as measurement:
            for number in range(rounds):
                for figure in measurement.round(frozenset(parts)):
                    figures.append(figure)
                    ratio = figure.seconds / figure.floor
                    click.echo(
                        f"{rows:,} rows, round {number + 1}: {figure.part} {figure.seconds:.2f} s, floor "
                        f"{figure.floor:.2f} s, ratio {ratio:.2f}, load {os.getloadavg()[0]:.1f}"
                    )
    return figures


def _reads(rows: int) -> dict[str, Any]:
    """Queries over HTTP, a process of its own: what it measures is in `bench.reads`."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        target = Path(folder) / "reads.json"
        words = ["--rows", str(rows), "--rounds", "3", "--json", str(target)]
        ended = subprocess.run([sys.executable, "-m", "bench.reads", *words], stdout=subprocess.DEVNULL)
        return {"reads": json.loads(target.read_text())} if ended.returncode == 0 else {}


def _tell(kind: str, figures: list[Figure], rows: int) -> None:
    summaries = report.summarize(figures)
    path = report.write(kind, summaries, _reads(rows))
    _show(summaries)
    for part, exponent in report.exponents(summaries).items():
        click.echo(f"{part}: cost grows with rows to the power of {exponent:.2f}")
    click.echo(f"kept in {path}")


def _show(summaries: Sequence[report.Summary]) -> None:
    table = Table(title="medians")
    for heading in ("work", "rows", "seconds", "floor", "ratio", "range", "at most", "CPU client + server", "peak MB"):
        table.add_column(heading)
    for one in summaries:
        table.add_row(
            *(one.part, f"{one.rows:,}", f"{one.seconds:.2f}", f"{one.floor:.2f}", f"{one.ratio:.2f}"),
            *(f"{one.lowest:.2f}-{one.highest:.2f}", "" if one.at_most is None else f"{one.at_most:g}"),
            *(f"{one.client_cpu:.1f} + {one.server_cpu:.1f}", f"{one.peak_mb:.0f}"),
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
