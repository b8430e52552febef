"""A private Redis in a folder of its own: the broker of a stack, and of tests."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from pathlib import Path
from typing import Self

from .own_process import PrivateServer
from .processes import (
    ServerError,
    kill_all,
    processes_in,
    require,
    tail,
    wait_until,
)

PACKAGES = "redis-server"


class PrivateRedis(PrivateServer):
    """A redis-server of our own on 127.0.0.1.

    It keeps nothing on disk: the ledger, not the broker, is the truth. It refuses writes rather than forget
    keys when memory is short (`noeviction`), and dies with the process that started it.
    """

    def __init__(self, folder: Path | str, *, log: Path | None = None) -> None:
        self.folder = Path(os.path.abspath(folder))
        super().__init__(f"the Redis server of {self.folder}")
        self._password = ""  # nosec B105 # none yet
        self._log = log

    @property
    def log(self) -> Path:
        """File of the server's log."""
        return self._log or self.folder / "server.log"

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
        self._find_port(self._launch, self.log)
        return self

    def stop(self) -> None:
        """End the server; what was queued is forgotten."""
        self._end(signal.SIGTERM)

    def _launch(self, port: int) -> bool:
        """One attempt on one port; False when somebody took it first."""
        configuration = self.folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {self._password}\ndir "{self.folder}"\n'
            'save ""\nappendonly no\nmaxmemory-policy noeviction\ndaemonize no\n'
        )
        command = [require("redis-server", PACKAGES), str(configuration)]
        process, start = self._spawn(command, log=self.log, folder=self.folder)
        self.port = port
        wait_until(lambda: self._answers() or process.poll() is not None, 30.0)
        if process.poll() is None and self._answers():
            return True
        self._end(signal.SIGTERM)
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
