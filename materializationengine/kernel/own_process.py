"""A process that we start, watch and end, and one that serves a port of its own choosing."""

from __future__ import annotations

import itertools
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .processes import Account, ServerError, end, free_port, launch_prefix, open_log

_ATTEMPTS = 10


class OwnProcess:
    """One process of ours, which never outlives us. `name` is what errors call it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process we started is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id. Raises ServerError if it was not started or has been ended."""
        if self._process is None:
            raise ServerError(f"{self._name} is not running")
        return self._process.pid

    def _spawn(
        self,
        command: Sequence[str],
        *,
        log: Path,
        folder: Path,
        dies_by: signal.Signals = signal.SIGKILL,
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
        inherit: Sequence[int] = (),
    ) -> tuple[subprocess.Popen[bytes], int]:
        """Start it; the process, and the length of its log before its first word, bytes."""
        with open_log(log) as sink:
            silence = sink.tell()
            self._process = subprocess.Popen(
                [*launch_prefix(dies_by, account), *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=folder,
                env=None if environment is None else dict(environment),
                pass_fds=inherit,
                # A process group of its own: an interrupt on the terminal is its owner's to hear.
                start_new_session=True,
            )
        return self._process, silence

    def _end(self, *signals: signal.Signals, patience: float = 20.0) -> None:
        """Each signal in turn with time to obey, seconds, then SIGKILL."""
        if self._process is not None:
            end(self._process, *signals, patience=patience)
            self._process = None


class PrivateServer(OwnProcess):
    """A server of our own on a free port of 127.0.0.1; `with` starts and stops it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.port = 0

    def start(self) -> Self:
        """Start it. Raises ServerError with the reason and the fix."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _find_port(self, launch: Callable[[int], bool], log: Path) -> None:
        """Launch on one port after the other until one is not taken; `launch` says False where it was."""
        # The same port again after a death, so that its clients find it back.
        wanted = [self.port] if self.port else []
        if not any(map(launch, itertools.chain(wanted, (free_port() for _ in range(_ATTEMPTS))))):
            raise ServerError(f"{self._name} found no free port in {_ATTEMPTS} attempts; see {log}")
