"""The web process that the reads are asked of, and a client that keeps its connection."""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pyarrow as pa

from materializationengine.kernel.processes import launch_prefix
from materializationengine.stack import programs

from .reads_world import World
from .usage import cpu_seconds, forget_peak, peak_mb


class Server:
    """The web process, as the stack runs it but for the neighbors."""

    def __init__(self, world: World, folder: Path) -> None:
        self.log = folder / "web.log"
        with closing(socket.socket()) as bound, self.log.open("w") as log:
            bound.bind(("127.0.0.1", 0))
            bound.listen(64)
            bound.set_inheritable(True)
            self.address = f"127.0.0.1:{bound.getsockname()[1]}"
            command = [*programs.web(f"fd://{bound.fileno()}")[:-1], "bench.reads_app:create_app()"]
            self._process = subprocess.Popen(
                [*launch_prefix(SIGKILL), sys.executable, *command],
                env={**os.environ, **world.environ},
                pass_fds=[bound.fileno()],
                stdout=log,
                stderr=log,
            )

    def cpu(self) -> float:
        """CPU seconds of the process that answers, so far."""
        return cpu_seconds(self._worker())

    def peak_mb(self, *, forget: bool = False) -> float:
        """The most memory that it has held since the last `forget`; with `forget`, what it holds now."""
        if forget:
            forget_peak(self._worker())
        return peak_mb(self._worker())

    def _worker(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=20)


class Client:
    """One connection that is kept, as a session of any HTTP library keeps it."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=120)

    def rows(self, path: str, body: dict[str, Any]) -> pa.Table:
        """The table that a query gives."""
        with pa.ipc.open_stream(io.BytesIO(self.post(path, body))) as reader:
            return reader.read_all()

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        """A whole request, to the last byte. Raises RuntimeError for anything but a 200."""
        return self.open(path, body, "").read()

    def open(self, path: str, body: dict[str, Any], encoding: str) -> http.client.HTTPResponse:
        """A request whose answer is still to be read."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": encoding}
        self._connection.request("POST", path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.read()[:500]!r}")
        return answer

    def close(self) -> None:
        """End the connection."""
        self._connection.close()
