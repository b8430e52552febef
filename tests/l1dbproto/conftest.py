"""Databases for the L1 tests: SQLite files, a private PostgreSQL, and MariaDB where the distribution's is installed."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from l1_mariadb import SERVER, private_mariadb

from materializationengine.kernel.postgres import PrivateCluster, with_database


@pytest.fixture(scope="session")
def cluster() -> Iterator[PrivateCluster]:
    with tempfile.TemporaryDirectory(prefix="l1-") as folder:
        server = PrivateCluster(Path(folder) / "pg", durable=False, extensions=(), keep=False)
        with server:
            yield server


@pytest.fixture(scope="session")
def mariadb_socket() -> Iterator[Path]:
    if SERVER is None:
        pytest.skip("MariaDB is not installed (apt-get install mariadb-server-core)")
    pytest.importorskip("pymysql", reason="PyMySQL is not installed (pip install '.[mysql]')")
    with private_mariadb() as socket:
        yield socket


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Makes the address of a fresh, empty database of a backend."""

    def make(backend: str) -> str:
        name = f"l1_{uuid.uuid4().hex[:12]}"
        if backend == "sqlite":
            return f"sqlite:///{tmp_path / name}.sqlite"
        if backend == "postgresql":
            cluster: PrivateCluster = request.getfixturevalue("cluster")
            with closing(psycopg2.connect(cluster.url)) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute(f"CREATE DATABASE {name}")
            return with_database(cluster.url, name)
        socket: Path = request.getfixturevalue("mariadb_socket")
        import pymysql

        with closing(pymysql.connect(unix_socket=str(socket), user="root")) as server, server.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        return f"mysql://root@localhost/{name}?unix_socket={socket}"

    return make


@pytest.fixture
def config_file(address: Callable[[str], str], tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration file for a fresh database: `config_file("sqlite", read_sources_months=12)`."""
    made: list[str] = []

    def make(backend: str = "sqlite", *, url: str | None = None, name: str = "l1db.cfg", **words: object) -> Path:
        if url is None:
            made.append(address(backend))
            url = made[-1]
        lines = [f"{key} = {value}" for key, value in words.items()]
        path = tmp_path / name
        path.write_text("\n".join(["[database]", f"url = {url}", "", "[l1db]", *lines]) + "\n")
        return path

    return make
