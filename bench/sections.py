"""The sections of a measurement, each a process of its own, whose figures are heard as soon as it has them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import click

from materializationengine.kernel.processes import launch_prefix

from . import engine, points, reads, roots, visits_sections
from .figures import Detail, Figure
from .kept import Record
from .skipped import Skipped

SCRATCH = "/var/tmp"
"""Where clusters lie: the unprivileged account of a database can enter it."""

Measure = Callable[[int, int, Path], Iterator[Figure | Detail]]
SECTIONS: dict[str, Measure] = {
    "engine": engine.measure,
    "reads": reads.measure,
    "roots": roots.measure,
    "supervoxels": points.measure,
    "visits": visits_sections.measure,
    "apdb": visits_sections.beside_apdb,
}


@dataclass(frozen=True, slots=True)
class Task:
    """One section at one size; `growth` where it is measured for the sake of the exponent only."""

    section: str
    rows: int
    rounds: int
    growth: bool = False

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{self.section} at {self.rows:,}" if self.growth else self.section


def serve(task: Task, out: IO[str], known: Mapping[str, Measure] = SECTIONS) -> None:
    """Measure in this process; a line of JSON for each figure goes to `out`."""
    with tempfile.TemporaryDirectory(prefix="bench", dir=SCRATCH) as folder:
        try:
            for found in known[task.section](task.rows, task.rounds, Path(folder)):
                _say(out, "figure" if isinstance(found, Figure) else "detail", asdict(found))
        except Skipped as absent:
            _say(out, "skipped", str(absent))


def _say(out: IO[str], kind: str, found: object) -> None:
    print(json.dumps({kind: found}), file=out, flush=True)


def own_output() -> IO[str]:
    """Standard output for figures alone: what else this process and its children write there goes to the errors."""
    found = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return found


def measure(task: Task, record: Record) -> None:
    """Measure in a process of its own and keep what it tells; a failure is kept too."""
    command = [sys.executable, "-m", "bench", "section", task.section, f"--rows={task.rows}", f"--rounds={task.rounds}"]
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            [*launch_prefix(signal.SIGTERM), *command],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=Path(__file__).parents[1],
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    _hear(task, json.loads(line), record)
            except BaseException:
                # Nobody listens any more: it takes its servers and folders away, then we go on with the trouble.
                process.terminate()
                process.wait()
                raise
        if process.returncode:
            record.failed[task.name] = _last_words(errors) or f"ended with {process.returncode}"
            click.echo(f"{task.name} FAILED: {record.failed[task.name]}", err=True)
    record.took(task.name, time.monotonic() - began)


def _hear(task: Task, told: dict[str, Any], record: Record) -> None:
    if "figure" in told:
        figure = Figure(**told["figure"])
        record.add(task.section, figure, growth=task.growth)
        click.echo(
            f"{figure.part}, {figure.rows:,}: {figure.seconds:.4g} s, floor {figure.floor:.4g} s, "
            f"ratio {figure.ratio:.3g}, load {figure.load}"
        )
    elif "detail" in told:
        record.detail(**told["detail"])
    else:
        record.skipped[task.name] = told["skipped"]
        click.echo(f"{task.name} skipped: {told['skipped']}", err=True)


def _last_words(errors: IO[str]) -> str:
    """The end of what a section said in its trouble; all of it goes to the terminal."""
    errors.seek(0)
    said = errors.read().strip()
    if said:
        click.echo(said, err=True)
    return said.rpartition("\n")[2]
