"""Worlds and servers for the tests of localcave."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from localcave.world import make

ROOT = Path(__file__).resolve().parents[2]
EM512 = ROOT.parent / "shared/data/em512"


@pytest.fixture(scope="session")
def em512() -> Path:
    if not EM512.is_dir():
        pytest.skip("the example world em512 is not beside the repository (../shared/data/em512)")
    return EM512


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated world of 128 voxels along each axis, so of two chunks and three layers."""
    folder = tmp_path_factory.mktemp("worlds") / "small"
    make(folder, seed=11, size=128, synapses=2000)
    return folder


@dataclass
class Server:
    """A localcave process."""

    process: subprocess.Popen[str]
    url: str

    def call(self, verb: str, path: str, **options: Any) -> requests.Response:
        return requests.request(verb, self.url + path, timeout=20, **options)

    def admin(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.call(verb, f"/localcave/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        with self.process:
            self.process.send_signal(how)
            return self.process.wait(10)


Starter = Callable[..., Server]


@pytest.fixture(scope="session")
def start() -> Iterator[Starter]:
    """Start servers that end with the tests."""
    running: list[Server] = []

    def starter(folder: Path, *options: str) -> Server:
        command = [sys.executable, "-m", "localcave", "serve", "--dir", str(folder), "--port", "0", *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        running.append(Server(process, process.stdout.readline().strip()))
        return running[-1]

    yield starter
    for server in running:
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def server(start: Starter, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server with all edits of the small world as datastack `small`."""
    running = start(tmp_path_factory.mktemp("state"))
    running.admin("POST", "worlds", {"folder": str(world), "datastack": "small"})
    return running
