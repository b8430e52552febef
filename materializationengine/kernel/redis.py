"""A private Redis in a folder of its own: the broker of a stack, and of tests."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from .processes import (
    ServerError,
    end,
    free_port,
    kill_all,
    launch_prefix,
    open_log,
    processes_in,
    require,
    tail,
    wait_until,
)

PACKAGES = "redis-server"
_ATTEMPTS = 10


class PrivateRedis:
    """A redis-server of our own on 127.0.0.1.

    It keeps nothing on disk: the ledger, not the broker, is the truth. It refuses writes rather than forget
    keys when memory is short (`noeviction`), and dies with the process that started it.
    """

    def __init__(self, folder: Path | str, *, log: Path | None = None) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.port = 0
        self._password = ""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """File of the server's log."""
        return self._log or self.folder / "server.log"

    @property
    def running(self) -> bool:
        """Whether the server we started is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise ServerError(f"the Redis server of {self.folder} is not running")
        return self._process.pid

    @property
    def url(self) -> str:
        """`redis://` address of database 0, password included."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start on a free port. Raises ServerError with the reason and the fix."""
        if self.running:
            return self
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kill_all(lambda: processes_in(self.folder, "redis-server"))
        self._password = self._password or secrets.token_urlsafe(18)
        # The same port again after a death, so that its clients find it back.
        wanted = [self.port] if self.port else []
        if any(map(self._launch, itertools.chain(wanted, (free_port() for _ in range(_ATTEMPTS))))):
            return self
        raise ServerError(f"Redis found no free port in {_ATTEMPTS} attempts; see {self.log}")

    def stop(self) -> None:
        """End the server; what was queued is forgotten."""
        if self._process is not None:
            end(self._process, signal.SIGTERM)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, port: int) -> bool:
        """One attempt on one port; False when somebody took it first."""
        configuration = self.folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {self._password}\ndir "{self.folder}"\n'
            'save ""\nappendonly no\nmaxmemory-policy noeviction\ndaemonize no\n'
        )
        with open_log(self.log) as sink:
            start = sink.tell()
            process = subprocess.Popen(
                [*launch_prefix(signal.SIGKILL), require("redis-server", PACKAGES), str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self._process, self.port = process, port
        wait_until(lambda: self._answers() or process.poll() is not None, 30.0)
        if process.poll() is None and self._answers():
            return True
        end(process, signal.SIGTERM)
        self._process = None
        if "Address already in use" in self.log.read_bytes()[start:].decode(errors="replace"):
            return False
        raise ServerError(f"Redis did not start in {self.folder}; the end of {self.log}:\n{tail(self.log)}")

    def _answers(self) -> bool:
        """Whether a server that knows our password answers on the port: it is ours, not another's."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as wire:
                wire.sendall(f"AUTH {self._password}\r\n".encode())
                return wire.recv(64).startswith(b"+OK")
        except OSError:
            return False
