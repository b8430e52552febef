"""Running the application in this one process, on a socket of ours or one handed down."""

from __future__ import annotations

import fcntl
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from flask import Flask
from waitress.server import create_server

THREADS = 16
KEPT_IN_MEMORY = 1 << 28  # bytes of a body before it would go to a temporary file
LOCK_PATIENCE = 10.0


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold a state folder; a second server waits for the first to end, then gives up."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        deadline = time.monotonic() + LOCK_PATIENCE
        while not _locked(lock.fileno()):
            if time.monotonic() > deadline:
                raise SystemExit(f"another localcave serves {folder}; stop it or choose another --dir")
            time.sleep(0.05)
        yield


def listen(port: int) -> socket.socket:
    """Return a listening socket on the loopback address."""
    return socket.create_server(("127.0.0.1", port), backlog=1024)


def inherit(number: int) -> socket.socket:
    """Return a bound socket that the parent process handed down."""
    handed = socket.socket(fileno=number)
    handed.set_inheritable(False)
    handed.listen(1024)
    return handed


def serve(app: Flask, listener: socket.socket) -> None:
    """Serve until a signal ends the process."""
    signal.signal(signal.SIGTERM, _leave)
    server = create_server(
        app,
        sockets=[listener],
        threads=THREADS,
        inbuf_overflow=KEPT_IN_MEMORY,
        outbuf_overflow=KEPT_IN_MEMORY,
        outbuf_high_watermark=KEPT_IN_MEMORY,
        clear_untrusted_proxy_headers=True,
    )
    server.run()


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
