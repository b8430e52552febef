#!/usr/bin/env python
"""Print how much of each package the tests went through, and end with exit code 1 where branches are below the mark.

Reads the combined data of coverage.py. A branch is a way out of a line that has more than one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

PACKAGES = ("domain", "kernel", "steps", "storage")
ROOT = "materializationengine"


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    done: int
    all: int

    @property
    def percent(self) -> float:
        """100 where there is nothing to do."""
        return 100 * self.done / self.all if self.all else 100.0


def shares(report: dict[str, Any], package: str) -> tuple[Share, Share]:
    """Lines and branches of a package, of coverage.py's report in JSON."""
    files = [found["summary"] for name, found in report["files"].items() if name.startswith(f"{ROOT}/{package}/")]
    lines = Share(sum(file["covered_lines"] for file in files), sum(file["num_statements"] for file in files))
    branches = Share(sum(file["covered_branches"] for file in files), sum(file["num_branches"] for file in files))
    return lines, branches


def read() -> dict[str, Any]:
    """The report on the data beside the checkout's `pyproject.toml`."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "coverage", "json", "--quiet", "--fail-under=0", "-o", str(target)]
        subprocess.run(command, check=True)
        report: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    return report


@click.command(help=__doc__)
@click.option("--mark", default=90.0, show_default=True, help="Least percentage of branches of each package.")
def main(mark: float) -> None:
    """Print the table."""
    report, low = read(), []
    for package in PACKAGES:
        lines, branches = shares(report, package)
        told = f"{lines.percent:6.1f} % of {lines.all} lines, {branches.percent:6.1f} % of {branches.all} branches"
        click.echo(f"{package:<8} {told}")
        if not branches.all or branches.percent < mark:
            low.append(package)
    if low:
        sys.exit(f"below {mark:g} % of branches: {', '.join(low)}. See: .venv/bin/coverage report --show-missing")


if __name__ == "__main__":
    main()
