"""Starting a stack's supervisor in the background, and ending it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from ..kernel.processes import ServerError, launch_prefix, open_log, require, wait_until
from .assembly import Options
from .custody import all_gone, sweep
from .info import Layout, StackInfo, locate, owner

_START = 150.0
_STOP = 45.0


def up(layout: Layout, options: Options, environ: Mapping[str, str]) -> StackInfo:
    """Start a stack that outlives us, or find the one that runs already; ready when this returns.

    Raises ServerError saying which part did not start, with the end of its log.
    """
    if owner(layout) is None:
        try:
            _launch(layout, options, environ, tied=False)
        except ServerError:
            # Somebody else may have been quicker; then theirs is as good.
            if owner(layout) is None:
                raise
    return _await(layout)


def _launch(layout: Layout, options: Options, environ: Mapping[str, str], *, tied: bool) -> subprocess.Popen[bytes]:
    """Run a supervisor, in a session of its own, until it is ready; `tied`: it ends with our thread."""
    layout.make()
    ours, theirs = os.pipe()
    words = [
        sys.executable,
        "-m",
        "materializationengine.stack",
        str(layout.folder),
        json.dumps(asdict(options)),
    ]
    # Forked off, it is nobody's child, and whoever started it need not wait for its end.
    prefix = launch_prefix(signal.SIGTERM) if tied else [require("setsid", "util-linux"), "--fork"]
    with open_log(layout.log("supervisor")) as sink:
        supervisor = subprocess.Popen(
            [*prefix, *words, str(theirs)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=dict(environ),
            pass_fds=(theirs,),
            start_new_session=True,
        )
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8") as report:
        said = report.read()
    if said != "ready" or not tied:
        supervisor.wait()
    if said != "ready":
        raise ServerError(said or f"the supervisor ended without a word; see {layout.log('supervisor')}")
    return supervisor


def _await(layout: Layout) -> StackInfo:
    wait_until(lambda: layout.record.exists() or owner(layout) is None, _START, 0.1)
    return locate(layout.folder)


def down(layout: Layout) -> bool:
    """End the stack in this folder and every process of it. False if there was none."""
    wait_until(lambda: owner(layout) != 0, 2.0)
    supervisor = owner(layout)
    if supervisor:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGTERM)
        if not wait_until(lambda: owner(layout) != supervisor, _STOP, 0.05):
            _force(layout, supervisor)
    if not layout.folder.exists():
        return False
    sweep(layout)
    if not wait_until(lambda: all_gone(layout), _STOP, 0.05):
        raise ServerError(f"processes of the stack in {layout.folder} do not end; see {layout.logs}")
    return supervisor is not None


def _force(layout: Layout, supervisor: int) -> None:
    """End a supervisor that does not obey; its processes die with it."""
    # Before SIGABRT kills, it makes the supervisor write to its log where it hangs.
    for number in (signal.SIGABRT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, number)
        if wait_until(lambda: owner(layout) != supervisor, 5.0, 0.05):
            return


def remove(layout: Layout) -> None:
    """Remove the folder of a stack that is down, and the data that had to move elsewhere."""
    if owner(layout) is not None:
        raise ServerError(f"a stack runs in {layout.folder}; `matengine stack down` ends it")
    shutil.rmtree(layout.postgres.resolve(), ignore_errors=True)
    shutil.rmtree(layout.folder, ignore_errors=True)


class Stack:
    """A whole service for the length of a `with`; its value is the StackInfo.

    A stack that runs in `folder` already is joined, and goes on running afterwards. One that is started here
    ends with the block, and also when the thread that entered it dies.

    Parameters
    ----------
    folder
        Where data, logs and the record lie; what an earlier stack left there is taken up again.
    options
        Number of workers and the like.
    environ
        Variables for all processes; default: those of this process.
    keep
        False removes the folder, data and all, when the block ends.
    """

    def __init__(
        self,
        folder: Path | str,
        options: Options | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        keep: bool = True,
    ) -> None:
        self._layout = Layout(folder)
        self._options = options or Options()
        self._environ = os.environ if environ is None else environ
        self._keep = keep
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> StackInfo:
        if owner(self._layout) is None:
            self._supervisor = _launch(self._layout, self._options, self._environ, tied=True)
        return _await(self._layout)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._supervisor is not None:
            down(self._layout)
            self._supervisor.wait()
            if not self._keep:
                remove(self._layout)
