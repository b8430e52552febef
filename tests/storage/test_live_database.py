"""Live databases: made once, migrated twice without harm, and equal to the models that read them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from materializationengine.domain.errors import ConfigurationError
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.storage.engines import Cluster
from materializationengine.storage.live_database import TEMPLATE, ensure, exists, live_databases, migrate
from materializationengine.storage.models import Base
from tests.harness import drop_databases


@pytest.fixture
def cluster(postgres: PrivateCluster) -> Iterator[Cluster]:
    made = Cluster(postgres.url, application="tests")
    yield made
    made.close()


@pytest.fixture
def live(cluster: Cluster, datastack: str) -> str:
    name = f"{datastack}_volume"
    ensure(cluster, name)
    return name


def test_eight_at_once_make_one(cluster: Cluster, datastack: str) -> None:
    name = f"{datastack}_volume"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ensure(cluster, name), range(8)))
    assert exists(cluster, name)
    assert name in live_databases(cluster)


def test_a_template_that_was_left_half_made_is_made_anew(cluster: Cluster, live: str, datastack: str) -> None:
    """Whoever made it was killed between its two names; the next one must not stumble over the first."""
    with closing(cluster.raw()) as admin, admin.cursor() as cursor:
        admin.autocommit = True
        cursor.execute(f"ALTER DATABASE {TEMPLATE} RENAME TO {datastack}_kept")
        try:
            cursor.execute(f"CREATE DATABASE {TEMPLATE}_new TEMPLATE template0")
            ensure(cluster, f"{datastack}_other_volume")
            assert exists(cluster, TEMPLATE) and not exists(cluster, f"{TEMPLATE}_new")
        finally:
            cursor.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
            cursor.execute(f"ALTER DATABASE {datastack}_kept RENAME TO {TEMPLATE}")


def test_the_migrations_make_what_the_models_read(cluster: Cluster, live: str) -> None:
    with cluster.engine(live).connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_schemas": True, "compare_type": True})
        ours = {table.name for table in Base.metadata.tables.values()}
        differences = [one for one in compare_metadata(context, Base.metadata) if _concerns(one, ours)]
    assert differences == []


def _concerns(difference: object, tables: set[str]) -> bool:
    """Whether a difference is about a table that has a model; the ledger has none."""
    parts = difference[0] if isinstance(difference, list) else difference
    named = {getattr(part, "name", part) for part in parts if isinstance(part, str) or hasattr(part, "name")}
    named |= {part.table.name for part in parts if hasattr(part, "table")}
    return bool(named & tables)


def test_a_database_of_a_newer_layout_is_refused(cluster: Cluster, live: str) -> None:
    with closing(cluster.raw(live)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE matengine.alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="newer than this release knows"):
        migrate(cluster, live)


def test_two_rows_of_one_version_are_named(cluster: Cluster, live: str) -> None:
    """CAVE has no such index, so a database of its own may hold them."""
    with closing(cluster.raw(live)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA matengine CASCADE")
        cursor.execute("DROP INDEX analysisversion_datastack_version_key")
        for _ in range(2):
            cursor.execute(
                "INSERT INTO analysisversion (datastack, version, time_stamp, status) VALUES ('d', 3, now(), 'FAILED')"
            )
    with pytest.raises(ConfigurationError, match=r"\(datastack, version\)=\(d, 3\) is duplicated"):
        ensure(cluster, live)


def test_an_older_caves_tables_are_adopted(cluster: Cluster, postgres: PrivateCluster, datastack: str) -> None:
    name = f"{datastack}_volume"
    with closing(cluster.raw()) as admin:
        admin.autocommit = True
        admin.cursor().execute(f"CREATE DATABASE {name}")
    with closing(cluster.raw(name)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION postgis")
        cursor.execute("CREATE TYPE version_status AS ENUM ('AVAILABLE', 'RUNNING', 'FAILED', 'EXPIRED')")
        cursor.execute("CREATE TYPE read_permission AS ENUM ('PRIVATE', 'GROUP', 'PUBLIC')")
        cursor.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        cursor.execute("INSERT INTO alembic_version VALUES ('fac66b439033')")
        cursor.execute(
            "CREATE TABLE analysisversion (id serial PRIMARY KEY, datastack varchar(100) NOT NULL, version int,"
            " time_stamp timestamp NOT NULL, valid boolean, expires_on timestamp, status version_status NOT NULL)"
        )
        cursor.execute("INSERT INTO analysisversion VALUES (1, 'minnie', 3, now(), true, null, 'AVAILABLE')")
    ensure(cluster, name)
    with cluster.connect(name) as connection:
        assert connection.value("SELECT version_num FROM public.alembic_version") == "fac66b439033"
        assert connection.one("SELECT version, is_merged FROM analysisversion") == (3, True)
    drop_databases(postgres.url, datastack)
