"""The whole service, started by its own command, and the real caveclient in a Python of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / ".venv-caveclient/bin/python"


def matengine(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """One command, as a person types it."""
    command = [sys.executable, "-m", "materializationengine.cli", *words]
    environ = {**os.environ, "MATENGINE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, cwd=folder)
    if check and done.returncode:
        raise AssertionError(f"matengine {' '.join(words)} -> {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@pytest.fixture(scope="session")
def client_python() -> Path:
    """The Python that has caveclient; `make setup-clients` makes it."""
    if not CLIENT.exists():
        if os.environ.get("CI"):
            pytest.fail(".venv-caveclient is missing: make setup-clients")
        pytest.skip(".venv-caveclient is missing: make setup-clients")
    return CLIENT


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running stack's folder."""
    folder = tmp_path_factory.mktemp("stack")
    matengine(folder, "stack", "up", "--no-durable")
    yield folder
    matengine(folder, "stack", "down")


@pytest.fixture(scope="session")
def ask(stack: Path, client_python: Path) -> Callable[..., Any]:
    """`ask(datastack, deed, ...)`: one deed of the driver script, by caveclient."""
    server = json.loads(matengine(stack, "stack", "status", "--json").stdout)["server"]

    def asked(datastack: str, *words: object) -> Any:
        command = [str(client_python), str(Path(__file__).with_name("client_driver.py")), server, datastack]
        done = subprocess.run(
            [*command, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HOME": str(stack)},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return asked
