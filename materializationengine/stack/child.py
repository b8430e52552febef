"""One process of ours: started by command, logged, and never outliving its supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..kernel.processes import ServerError, end, launch_prefix, open_log


class Server(Protocol):
    """What the supervisor needs of anything it keeps alive."""

    @property
    def running(self) -> bool:
        """Whether it is alive."""

    @property
    def pid(self) -> int:
        """Its process id; ServerError if it is not alive."""

    def start(self) -> object:
        """Start it; once more after a death, at the same address."""

    def stop(self) -> None:
        """End it and whatever it started."""


class Child:
    """A command that runs until it is stopped.

    Parameters
    ----------
    command
        The words; the first is a program's path.
    environment
        All variables of the process.
    folder
        Its working directory.
    log
        File that takes its output.
    inherit
        A listening socket's file descriptor, handed on under the same number.
    patience
        Seconds it gets to finish after SIGTERM, before SIGQUIT.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Callable[[], Mapping[str, str]],
        folder: Path,
        log: Path,
        inherit: int | None = None,
        patience: float = 5.0,
    ) -> None:
        self.command = tuple(command)
        self.log = log
        self._environment = environment
        self._folder = folder
        self._inherit = () if inherit is None else (inherit,)
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._silence = 0

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise ServerError(f"{' '.join(self.command)} is not running")
        return self._process.pid

    def spoke(self) -> bool:
        """Whether it has written to its log since its last start: the first sign of life of most programs."""
        return self.log.stat().st_size > self._silence

    def start(self) -> None:
        """Start it, after sweeping up what an earlier life left."""
        self._sweep()
        with open_log(self.log) as sink:
            self._silence = sink.tell()
            self._process = subprocess.Popen(
                [*launch_prefix(signal.SIGKILL), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=self._folder,
                env=dict(self._environment()),
                pass_fds=self._inherit,
                start_new_session=True,  # its own process group, which can be ended as a whole
            )

    def stop(self) -> None:
        """SIGTERM, SIGQUIT, SIGKILL, each with time to obey; then the rest of its process group."""
        if self._process is not None:
            end(self._process, signal.SIGTERM, signal.SIGQUIT, patience=self._patience)
            self._sweep()
            self._process = None

    def _sweep(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
