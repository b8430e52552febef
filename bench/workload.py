"""The seeded workload and the floor program, read in place from `shared/bench` beside the checkout."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import click

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "bench"


def _load(name: str) -> ModuleType:
    if not (FOLDER / f"{name}.py").is_file():
        raise click.ClickException(
            f"the measurements take their workload and floor from {FOLDER}, which is not there; "
            "`python -m bench stack` measures the main job on a world folder without it"
        )
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module(name)


def workload() -> ModuleType:
    """Synapses, Volume, RootHistory, HistoryFile. Raises ClickException where the folder is missing."""
    return _load("workload")


def floor() -> ModuleType:
    """What PostgreSQL itself costs. Raises ClickException where the folder is missing."""
    return _load("floor")
