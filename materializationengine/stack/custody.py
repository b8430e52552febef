"""One supervisor per folder, and nothing left behind by a dead one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ..kernel.processes import ServerError, kill_all, processes_in
from .assembly import MARK
from .info import Layout, owner


class AlreadyRunning(ServerError):
    """Another supervisor holds this folder."""


@contextlib.contextmanager
def hold(layout: Layout) -> Iterator[None]:
    """Be the one supervisor of this folder; the kernel lets go of it when we die, however we die.

    Raises AlreadyRunning.
    """
    layout.make()
    with layout.lock.open("a+") as file:
        _lock(file.fileno(), layout)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        layout.record.unlink(missing_ok=True)  # of one that was killed
        try:
            yield
        finally:
            layout.record.unlink(missing_ok=True)
            file.truncate(0)


def _lock(descriptor: int, layout: Layout) -> None:
    # Whoever asks for the owner holds the lock for an instant, so one refusal is no proof.
    for _ in range(20):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.02)
    raise AlreadyRunning(f"process {owner(layout)} supervises {layout.folder} already")


def sweep(layout: Layout) -> None:
    """End what a killed supervisor may have left; for the holder of the folder, or when nobody holds it."""
    kill_all(lambda: iter(_marked(layout)))
    kill_all(lambda: processes_in(layout.redis, "redis-server"))


def all_gone(layout: Layout) -> bool:
    """Whether no process of this stack is left, its servers included."""
    servers = [
        *processes_in(layout.postgres / "data", "postgres"),
        *processes_in(layout.redis, "redis-server"),
    ]
    return not servers and not _marked(layout)


def _marked(layout: Layout) -> list[int]:
    """Processes that were started for this stack, whoever is their parent by now.

    They stand in its `run` folder, as a person's shell may; the mark in their environment tells them apart. The
    folder is looked at first: to read a stranger's environment can take long, when that process is busy with
    its memory.
    """
    wanted = f"{MARK}={layout.folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                inside = (entry / "cwd").readlink() == layout.run.resolve()
                if inside and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue  # gone meanwhile, or somebody else's
    return found
