"""PostgreSQL's own client programs, told where to go by a file that we alone can read, never by their arguments."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from psycopg2.extensions import parse_dsn

from .postgres import installations
from .processes import ServerError, require
from .urls import masked

PACKAGES = "postgresql-client"
_SERVICE = "matengine"


class ProgramFailed(ServerError):
    """A client program of PostgreSQL ended with an error."""


@contextmanager
def service(uri: str) -> Iterator[dict[str, str]]:
    """Variables that lead any client of libpq to an address, password and all, while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="matengine-") as folder:
        file = Path(folder) / "pg_service.conf"
        file.touch(mode=0o600)
        words = "".join(f"{name}={value}\n" for name, value in parse_dsn(uri).items())
        file.write_text(f"[{_SERVICE}]\n{words}", encoding="utf-8")
        yield {"PGSERVICEFILE": str(file), "PGSERVICE": _SERVICE}


def run_client(program: str, uri: str, words: Sequence[str], *, major: int) -> str:
    """Run `pg_dump` or the like on the database of a libpq address; returns what it prints.

    `major` is the server's version, whose own programs are preferred. Raises ServerError where the program is not
    installed, ProgramFailed with its last words where it fails.
    """
    binary = require(program, PACKAGES, installations(str(major)))
    with service(uri) as told:
        done = subprocess.run(
            [binary, *words],
            env={**os.environ, **told},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ProgramFailed(masked(f"{program} failed: {' '.join(done.stderr.split())[-500:]}"))
    return done.stdout
