"""`python -m bench [--world FOLDER] [--dir DIR]`: run the measurements and print one table."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from materializationengine.kernel import moments
from materializationengine.stack import launcher
from materializationengine.stack.assembly import Options
from materializationengine.stack.info import DEFAULT_FOLDER, Layout

from . import main_job

EM512 = Path(__file__).parents[2] / "shared/data/em512"


@click.command()
@click.option("--world", type=click.Path(exists=True, file_okay=False), default=str(EM512), show_default=True)
@click.option("--dir", "folder", default=DEFAULT_FOLDER, envvar="MATENGINE_DIR", show_default=True)
@click.option("--rounds", default=3, show_default=True, help="How often; the table shows the median of each figure.")
def main(world: str, folder: str, rounds: int) -> None:
    """Measure the main job on a running stack, or on one that is started for it."""
    stack = launcher.up(Layout(folder), Options(), os.environ)
    found = []
    for number in range(rounds):
        name = f"{main_job.unique_name(moments.now())}{number}"
        found.append(main_job.measure(stack, Path(world).absolute(), name))
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


if __name__ == "__main__":
    main()
