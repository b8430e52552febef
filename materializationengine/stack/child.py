"""One process of ours: started by command, logged, and never outliving its supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..kernel.own_process import OwnProcess


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


class Child(OwnProcess):
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
        super().__init__(" ".join(self.command))
        self.log = log
        self._environment = environment
        self._folder = folder
        self._inherit = () if inherit is None else (inherit,)
        self._patience = patience
        self._silence = 0

    def spoke(self) -> bool:
        """Whether it has written to its log since its last start: the first sign of life of most programs."""
        return self.log.stat().st_size > self._silence

    def start(self) -> None:
        """Start it, after sweeping up what an earlier life left."""
        if self._process is not None:
            _sweep(self.pid)
        _, self._silence = self._spawn(
            self.command,
            log=self.log,
            folder=self._folder,
            environment=self._environment(),
            inherit=self._inherit,
        )

    def stop(self) -> None:
        """SIGTERM, SIGQUIT, SIGKILL, each with time to obey; then the rest of its process group."""
        if self._process is not None:
            group = self.pid
            self._end(signal.SIGTERM, signal.SIGQUIT, patience=self._patience)
            _sweep(group)


def _sweep(group: int) -> None:
    """SIGKILL to what is left of a process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
