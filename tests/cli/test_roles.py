"""Least privilege on a real server: the engine does its work, the analyst reads versions, and neither does more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner

from materializationengine.bootstrap import Services
from materializationengine.cli import main
from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.urls import libpq
from materializationengine.storage import retention, version_care
from tests.harness import Engine, Neighbors

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
PASSWORD = "of the engine's own, 8%/@ !"
LIVE, STACK = "least_volume", "least"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateCluster]:
    """A server of this file's own: roles belong to a whole server."""
    folder = tmp_path_factory.mktemp("roles")
    with PrivateCluster(folder / "server", durable=False, keep=False) as cluster:
        yield cluster


def settings(server: PrivateCluster, neighbors: Neighbors) -> Settings:
    return Settings(database_url=server.url, local_server=neighbors.url, as_of_margin=0, retry_delay=0, writer_wait=2.0)


def login(server: PrivateCluster, role: str, password: str, database: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(host="127.0.0.1", port=server.port, user=role, password=password, dbname=database)


@pytest.fixture(scope="module")
def engine_url(
    server: PrivateCluster, neighbors: Neighbors, small_world: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The engine's address; a superuser had made a version before the roles came."""
    services = Services(settings(server, neighbors), "tests")
    before = Engine(services, neighbors)
    before.load(small_world, STACK)
    before.upload_synapses(small_world, STACK, BIRTH)
    before.run(RunKind.FREEZE, STACK, as_of=BIRTH + timedelta(days=1))
    services.close()
    secret = tmp_path_factory.mktemp("secret") / "password"
    secret.write_text(PASSWORD + "\n")
    words = ["db", "roles", "--password-file", str(secret)]
    for _ in range(2):
        done = CliRunner().invoke(main, words, env={"SQLALCHEMY_DATABASE_URI": server.url})
        assert done.exit_code == 0, done.output
    assert f"{LIVE}: owned by matengine_owner" in done.output
    assert PASSWORD not in done.output
    with closing(psycopg2.connect(server.url)) as admin, admin, admin.cursor() as cursor:
        cursor.execute("CREATE ROLE ann LOGIN PASSWORD 'ann' IN ROLE analysis_user")
    return f"postgresql://matengine_engine:of%20the%20engine's%20own%2C%208%25%2F%40%20%21@127.0.0.1:{server.port}/postgres"


@pytest.fixture
def least(server: PrivateCluster, neighbors: Neighbors, engine_url: str) -> Iterator[Engine]:
    services = Services(replace(settings(server, neighbors), database_url=engine_url), "tests")
    yield Engine(services, neighbors)
    services.close()


def test_the_main_job_runs_under_the_engines_role(least: Engine, small_world: Path) -> None:
    with least.services.cluster.connect(LIVE) as connection:
        assert connection.one("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user") == (
            "matengine_engine",
            False,
        )
    least.load(small_world, "least_new")
    least.upload_synapses(small_world, "least_new", BIRTH)
    for stack, version in (("least_new", 1), (STACK, 2)):
        record = least.run(RunKind.COMPLETE, stack, as_of=BIRTH + timedelta(days=30))
        assert (record.version, least.frozen(stack, version).num_rows) == (version, 2_000)


def test_the_engine_drops_what_a_superuser_made(least: Engine, server: PrivateCluster) -> None:
    """An analyst who is in it is sent away."""
    cluster = least.services.cluster
    with (
        closing(login(server, "ann", "ann", f"{STACK}__mat1")) as analyst,
        cluster.connect(LIVE) as connection,
    ):
        version_care.end(connection, STACK, 1)
        connection.commit()
        assert retention.drop(cluster, connection, STACK, 1)
        with pytest.raises(psycopg2.OperationalError):
            analyst.cursor().execute("SELECT 1")


def test_an_analyst_reads_versions_and_nothing_else(least: Engine, server: PrivateCluster) -> None:
    least.run(RunKind.FREEZE, STACK, as_of=BIRTH + timedelta(days=50))
    newest = max(version for version in range(1, 9) if _exists(server, f"{STACK}__mat{version}"))
    with closing(login(server, "ann", "ann", f"{STACK}__mat{newest}")) as frozen, frozen.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM synapses")
        assert cursor.fetchone() == (2_000,)
        frozen.rollback()
        for statement in (
            *("DELETE FROM synapses", "DROP TABLE synapses", "CREATE TABLE public.mine (a int)"),
            *("CREATE DATABASE mine", "ALTER ROLE ann SUPERUSER"),
        ):
            cursor.execute("SET default_transaction_read_only = off")
            frozen.commit()
            with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ActiveSqlTransaction)):
                cursor.execute(statement)
            frozen.rollback()
    with closing(login(server, "ann", "ann", LIVE)) as live, live.cursor() as cursor:
        for table in ("matengine.run", "matengine.unit", "synapses", "annotation_table_metadata"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(f"SELECT * FROM {table}")
            live.rollback()


def _exists(server: PrivateCluster, name: str) -> bool:
    with closing(psycopg2.connect(server.url)) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        return cursor.fetchone() is not None


def test_the_owner_logs_in_nowhere_and_the_password_is_kept_as_a_digest(
    server: PrivateCluster, engine_url: str
) -> None:
    with closing(psycopg2.connect(server.url)) as admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT rolname, rolcanlogin, rolsuper, rolcreaterole FROM pg_roles WHERE rolname ~ '^matengine_'"
        )
        assert sorted(cursor.fetchall()) == [
            ("matengine_engine", True, False, False),
            ("matengine_owner", False, False, False),
        ]
    assert PASSWORD not in server.log.read_text()


def test_an_engine_that_cannot_see_writers_does_not_freeze(least: Engine, server: PrivateCluster) -> None:
    """Its version might lack rows that another role is about to commit."""
    with closing(psycopg2.connect(server.url)) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("REVOKE pg_read_all_stats FROM matengine_engine")
            try:
                with closing(psycopg2.connect(libpq(server.url, database=LIVE))) as writer, writer.cursor() as other:
                    other.execute("CREATE TEMP TABLE t AS SELECT 1")
                    failed = least.attempt(RunKind.FREEZE, STACK, as_of=BIRTH + timedelta(days=51))
            finally:
                cursor.execute("GRANT pg_read_all_stats TO matengine_engine")
    assert failed.status is RunStatus.FAILED
    assert "GRANT pg_read_all_stats TO matengine_engine" in (failed.error or "")
