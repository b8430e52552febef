"""A measurement on the terminal."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from . import words
from .asked import EXPONENT
from .kept import Record

_HEADINGS = ("work", "rows", "ours", "floor", "ratio", "range", "asked", "met", "CPU ours + server", "peak MB")


def show(record: Record) -> None:
    """A row for each part, the exponents, and what is missing."""
    table = Table(title="medians")
    for heading in _HEADINGS:
        table.add_column(heading)
    for one in record.summaries():
        table.add_row(
            *(one.part, f"{one.rows:,}", words.seconds(one.seconds), words.seconds(one.floor), words.ratio(one.ratio)),
            f"{words.ratio(one.lowest)}-{words.ratio(one.highest)}",
            *(words.asked(one.part), words.met(one.part, one.rows, one.ratio, one.seconds)),
            *(f"{words.seconds(one.client_cpu)} + {words.seconds(one.server_cpu)}", f"{one.peak_mb:.0f}"),
        )
    Console(width=150).print(table)
    for growth in record.growths():
        step = f", steepest step {growth.step} {growth.steepest:.2f}" if growth.step else ""
        powers = f"{growth.ours:.2f} ({EXPONENT} at most), floor {growth.floor:.2f}"
        click.echo(f"{growth.part}: cost grows with rows to the power of {powers}{step}")
    for name, reason in record.skipped.items():
        click.echo(f"{name} was skipped: {reason}")
    if record.path:
        click.echo(f"kept in {record.path}")
