"""What every measurement of visits stands on: databases, configuration files, and the driver of `lsst-dax-apdb`.

The other package is never imported here: a driver script runs it in its own process and environment.
"""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg2

from materializationengine.kernel.postgres import PrivateCluster, normalize, with_database

ROOT = Path(__file__).resolve().parents[1]
DRIVER = ROOT.parent / "shared" / "bench" / "l1db" / "bench_apdb.py"
APDB_PYTHON = ROOT / ".venv-apdb" / "bin" / "python"
_SETTINGS = {"shared_buffers": "1GB", "autovacuum_naptime": "15s"}
_OPTIONS = {
    "dia_object_index": "last_object_table",
    "object_last_replace": 1,
    "read_sources_months": 12,
    "read_forced_sources_months": 12,
    "source_select": "by-oid",
}


T = TypeVar("T")


@contextmanager
def fresh_addresses(backend: str, home: Path) -> Iterator[tuple[str, str, int]]:
    """Fresh databases for ours and for the other package, and the server's process id (0 without one)."""
    if backend == "sqlite":
        yield f"sqlite:///{home}/ours.sqlite", f"sqlite:///{home}/theirs.sqlite", 0
        return
    with new_server(home) as server:
        # The driver tells its server processes from others by the database's name, l1.
        yield new_database(server, "ours"), normalize(new_database(server, "l1")), server.pid


def new_server(home: Path) -> PrivateCluster:
    """A private server with room for what a visit reads."""
    return PrivateCluster(home / "pg", settings=_SETTINGS, extensions=(), keep=False)


def new_database(server: PrivateCluster, name: str) -> str:
    """The address of a new database."""
    with closing(psycopg2.connect(server.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    return with_database(server.url, name)


def write_config(path: Path, url: str, **changes: object) -> Path:
    """Write the configuration file of an L1 database."""
    words = "\n".join(f"{key} = {value}" for key, value in {**_OPTIONS, **changes}.items())
    path.write_text(f"[database]\nurl = {url}\n[l1db]\n{words}\n")
    return path


def drive_apdb(python: Path, driver: Path, home: Path, words: list[str]) -> list[dict[str, float]]:
    """Run the driver; its figures of every visit."""
    command = [str(python), str(driver), "--label=theirs", f"--out={home}", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with (home / "theirs.csv").open() as stream:
        return [{name: float(value or 0) for name, value in row.items()} for row in csv.DictReader(stream)]


def last_third(rows: list[T]) -> list[T]:
    """The visits after which the history has some length."""
    return rows[-max(3, len(rows) // 3) :]
