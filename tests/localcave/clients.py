"""Running drivers in the environment of the real client."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT

PYTHON = ROOT / ".venv-caveclient/bin/python"


def run_driver(name: str, home: Path, *arguments: str, task: object = None) -> dict[str, Any]:
    """Run a driver script with the real caveclient, and return the JSON on its last line."""
    if not PYTHON.exists() and os.environ.get("CI") != "true":
        pytest.skip("no .venv-caveclient: `make setup-clients` builds it")
    command = [str(PYTHON), str(Path(__file__).with_name(name)), *arguments]
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, input=json.dumps(task))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
