"""The supervisor's life, from taking the folder to leaving it empty."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import structlog

from .assembly import Assembly, Options
from .custody import hold, sweep
from .info import Layout, StackInfo, write
from .supervisor import Policy, Supervisor

log = structlog.get_logger(__name__)
_ROUND = 0.2


class _Stopped(BaseException):
    """A signal asked us to end. No error, so nothing on the way may catch it as one."""


def supervise(
    layout: Layout, options: Options, environ: Mapping[str, str], announce: Callable[[StackInfo], None]
) -> None:
    """Run a whole stack until SIGTERM or SIGINT; `announce` is called once, when all of it is ready.

    Must be called in the main thread. Raises AlreadyRunning, or ServerError when something does not start.
    """
    with hold(layout), _stopped_by_signals():
        sweep(layout)
        try:
            with Assembly(layout, environ, options) as assembly:
                supervisor = Supervisor(assembly.services(), Policy(restart=options.restart))
                with supervisor.running():
                    _tend(layout, assembly, supervisor, announce)
        finally:
            sweep(layout)


def _tend(layout: Layout, assembly: Assembly, supervisor: Supervisor, announce: Callable[[StackInfo], None]) -> None:
    info = assembly.info(supervisor.pids())
    write(layout, info)
    announce(info)
    while True:
        time.sleep(_ROUND)
        supervisor.tend()
        now = assembly.info(supervisor.pids())
        if now != info:
            info = now
            write(layout, info)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT end the block, once: a second one does not cut the way out short."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        log.info("stopping", signal=signal.Signals(number).name)
        raise _Stopped

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except _Stopped:
        pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
