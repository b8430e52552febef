"""Statements that a kept connection plans once: right whatever happens to their tables and to the connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ARRAY, String, bindparam, func, select
from sqlalchemy.exc import DBAPIError

from materializationengine.domain.schemas import schema
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.storage import live_database
from materializationengine.storage.annotation_catalog import NewTable, create
from materializationengine.storage.engines import Cluster
from materializationengine.storage.models import AnnotationTable, Permission
from materializationengine.storage.prepared import Prepared

NAME = "prepared_volume"
ASKED = Prepared(
    "permissions_asked",
    select(AnnotationTable.table_name, AnnotationTable.read_permission)
    .where(AnnotationTable.table_name == func.any(bindparam("names", type_=ARRAY(String))))
    .order_by(AnnotationTable.table_name),
)


@pytest.fixture
def cluster(postgres: PrivateCluster) -> Iterator[Cluster]:
    made = Cluster(postgres.url, application="tests", lock_timeout=5.0)
    live_database.ensure(made, NAME)
    yield made
    made.close()


def add(cluster: Cluster, name: str) -> None:
    with cluster.connect(NAME) as connection:
        create(connection, NewTable(name, schema("bound_tag"), name, "0", (4.0, 4.0, 40.0)))
        connection.commit()


def ask(cluster: Cluster, *names: str) -> list[tuple[Any, ...]]:
    with cluster.lookups(NAME).connect() as connection:
        return [tuple(row) for row in ASKED.rows(connection, {"names": list(names)})]


def test_a_prepared_question_is_planned_once_and_never_stale(cluster: Cluster) -> None:
    add(cluster, "one")
    assert ask(cluster, "one", "two") == [("one", Permission.PUBLIC)]
    add(cluster, "two")
    with cluster.connect(NAME) as connection:
        connection.execute("ALTER TABLE annotation_table_metadata ADD COLUMN more text")
        connection.execute("UPDATE annotation_table_metadata SET read_permission = 'PRIVATE' WHERE table_name = 'one'")
        connection.commit()
    assert ask(cluster, "one", "two") == [("one", Permission.PRIVATE), ("two", Permission.PUBLIC)]
    assert ask(cluster) == []
    with cluster.lookups(NAME).connect() as connection:
        known = connection.exec_driver_sql("SELECT name FROM pg_prepared_statements").scalars().all()
        assert known == ["permissions_asked"]
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    with cluster.connect(NAME) as killer:
        killer.rows("SELECT pg_terminate_backend($1::int)", pid)
    with pytest.raises(DBAPIError) as lost:
        ask(cluster, "two")
    assert lost.value.connection_invalidated
    assert ask(cluster, "two") == [("two", Permission.PUBLIC)]


def test_a_connection_keeps_some_plans_only(cluster: Cluster) -> None:
    with cluster.connect(NAME) as connection:
        for number in [*range(70), 0, 69]:
            found = connection.prepared_table(f"plus_{number}", f"SELECT $1 + {number} AS sum", ["1"], ["bigint"])
            assert found["sum"].to_pylist() == [1 + number]
        names = connection.rows("SELECT name FROM pg_prepared_statements WHERE name LIKE 'plus%'")
        assert 2 <= len(names) <= 32
