"""A run on a terminal: bars while it goes, a table when it is over. Both are counts over the ledger."""

from __future__ import annotations

import json
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..domain.records import RunRecord
from ..storage.engines import Cluster
from ..storage.run_records import find_run

_EVERY = 0.1


def watch(cluster: Cluster, run_id: str, quiet: bool = False) -> RunRecord:
    """Follow a run to its end; bars only on a terminal."""
    if quiet or not sys.stderr.isatty():
        return _wait(cluster, run_id)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars = [progress.add_task(step.name, total=None) for step in find_run(cluster, run_id).steps]
        while True:
            record = find_run(cluster, run_id)
            for bar, step in zip(bars, record.steps, strict=True):
                progress.update(bar, completed=step.done, total=step.units or None)
            if record.status.over:
                return record
            time.sleep(_EVERY)


def _wait(cluster: Cluster, run_id: str) -> RunRecord:
    while not (record := find_run(cluster, run_id)).status.over:
        time.sleep(_EVERY)
    return find_run(cluster, record.id, units=True)


def show_record(record: RunRecord, as_json: bool) -> None:
    """Print a run."""
    if as_json:
        sys.stdout.write(json.dumps(record.to_json()) + "\n")
        return
    made = f", version {record.version}" if record.version is not None else ""
    table = Table(title=f"{record.kind} {record.id}: {record.status}{made}", title_justify="left")
    for heading in ("step", "units", "done", "rows", "seconds"):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    for step in record.steps:
        table.add_row(step.name, str(step.units), str(step.done), f"{step.rows:,}", f"{step.seconds:.2f}")
    console = Console()
    console.print(table)
    if record.error:
        console.print(f"[red]{record.error}[/red]", markup=True)
