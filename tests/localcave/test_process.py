"""The process: what it inherits, how it ends, and what it remembers."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import requests

from .conftest import ROOT, Starter
from .test_services import roots


def test_killed_and_started_again_it_gives_the_same_roots(start: Starter, world: Path, tmp_path: Path) -> None:
    ids = np.load(world / "graph/supervoxels.npy")
    server = start(tmp_path)
    server.admin("POST", "worlds", {"folder": str(world), "datastack": "small", "until": "2026-01-31"})
    moments = [1767225600.0 + day * 86400 for day in (0, 12.5, 30)]
    before = [roots(server, ids, at=moment) for moment in moments]
    counts = server.admin("GET", "worlds")
    server.stop(signal.SIGKILL)
    server = start(tmp_path)
    assert server.admin("GET", "worlds") == counts
    assert all((roots(server, ids, at=moment) == was).all() for moment, was in zip(moments, before, strict=True))
    assert server.admin("POST", "edits", {"datastack": "small"})["edits_applied"] > 0


def test_killed_while_loading_it_starts_clean(start: Starter, world: Path, tmp_path: Path) -> None:
    for pause in (0.0, 0.01, 0.03, 0.06):
        server = start(tmp_path)
        body = f'{{"folder": "{world}", "datastack": "small"}}'
        with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as wire:
            head = f"POST /localcave/worlds HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            wire.sendall((head + body).encode())
            time.sleep(pause)
            server.stop(signal.SIGKILL)
    server = start(tmp_path)
    counts = server.admin("POST", "worlds", {"folder": str(world), "datastack": "small"})
    assert counts["edits"] == len((world / "graph/edits.jsonl").read_text().splitlines())
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["small_pcg"]


def test_terminated_it_ends_at_once(start: Starter, tmp_path: Path) -> None:
    server = start(tmp_path)
    requests.get(f"{server.url}/localcave/health", timeout=5)
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 3


def test_it_serves_on_an_inherited_socket(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "localcave", "serve", "--dir", str(tmp_path), "--fd", str(listener.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            assert requests.get(f"{url}/localcave/health", timeout=10).json() == "healthy"
        finally:
            process.terminate()
            process.wait(5)


def test_one_socket_is_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "localcave", "serve", "--dir", str(tmp_path)]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "either --fd or --port" in refused.stderr
