"""The ground of a measurement: one private cluster, fsync on, and databases that are put back between rounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from materializationengine.kernel.postgres import PrivateCluster, libpq, normalize

from .usage import family_seconds


class Ground:
    """Databases of one running cluster, and what its processes cost."""

    def __init__(self, cluster: PrivateCluster) -> None:
        self.cluster = cluster

    @property
    def url(self) -> str:
        """The engine's `SQLALCHEMY_DATABASE_URI`."""
        return normalize(self.cluster.url)

    @property
    def dsn(self) -> str:
        """Address without a database, as the floor program takes it."""
        return self.cluster.url.rpartition("/")[0]

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements one by one, each its own transaction."""
        with closing(psycopg2.connect(libpq(self.cluster.url, database=database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def rows(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """The answer of one SELECT."""
        with (
            closing(psycopg2.connect(libpq(self.cluster.url, database=database))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return list(cursor.fetchall())

    def drop(self, pattern: str) -> None:
        """Drop every database whose name is LIKE a pattern."""
        for (name,) in self.rows(f"SELECT datname FROM pg_database WHERE datname LIKE '{pattern}'"):
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def keep(self, live: str, copy: str) -> None:
        """Keep a database as it is now under another name, vacuumed."""
        self.execute("VACUUM ANALYZE", database=live)
        self.drop(copy)
        # Pools of the driver and its workers keep sessions that a template must not have.
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{live}'")
        self.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{live}" STRATEGY file_copy')

    def put_back(self, copy: str, live: str) -> None:
        """Make a database what its copy is, with the mark by which the engine knows it, and a checkpoint."""
        self.drop(live)
        self.execute(f'CREATE DATABASE "{live}" TEMPLATE "{copy}" STRATEGY file_copy', "CHECKPOINT")

    def server_seconds(self) -> float:
        """CPU seconds of the server so far: its processes, and those of its that have ended."""
        return family_seconds(self.cluster.pid)


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """A private cluster as the stack starts one, fsync on, gone afterwards."""
    with PrivateCluster(folder / "cluster", durable=True, keep=False) as cluster:
        yield Ground(cluster)
