"""Running the application in this one process, on a socket of ours or one handed down."""

from __future__ import annotations

import ctypes
import fcntl
import logging
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
RECEIVED_AT_ONCE = 1 << 18  # bytes; a million ids are eight million
LOCK_PATIENCE = 10.0
MMAP_THRESHOLD, ARENA_MAX = -3, -8  # of malloc.h
LARGE = 1 << 19  # bytes


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


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket on an address."""
    return socket.create_server((host, port), backlog=1024)


def inherit(number: int) -> socket.socket:
    """Return a bound socket that the parent process handed down."""
    handed = socket.socket(fileno=number)
    handed.set_inheritable(False)
    handed.listen(1024)
    return handed


def serve(app: Flask, listener: socket.socket) -> None:
    """Serve until a signal ends the process."""
    signal.signal(signal.SIGTERM, _leave)
    _give_memory_back()
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that clients come in numbers is no news
    server = create_server(
        app,
        sockets=[listener],
        threads=THREADS,
        recv_bytes=RECEIVED_AT_ONCE,
        inbuf_overflow=KEPT_IN_MEMORY,
        outbuf_overflow=KEPT_IN_MEMORY,
        outbuf_high_watermark=KEPT_IN_MEMORY,
        clear_untrusted_proxy_headers=True,
    )
    server.run()


def _give_memory_back() -> None:
    """Tell glibc to return large arrays to the system at once.

    By default it learns to keep blocks of the size of a large answer, in a pool for each thread: a server of
    a million supervoxels then holds a gigabyte that it does not use.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries have no such pools
        mallopt(MMAP_THRESHOLD, LARGE)
        mallopt(ARENA_MAX, 2)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
