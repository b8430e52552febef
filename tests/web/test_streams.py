"""Long answers: memory, first byte, and clients that go away."""

from __future__ import annotations

import http.client
import io
import json
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from materializationengine.storage.engines import Cluster
from materializationengine.storage.read_pool import ReadPool

from . import frozen

LONG = 400_000
pytestmark = pytest.mark.usefixtures("rows")


@pytest.fixture(scope="module")
def long_table(cluster: Cluster, rows: dict[str, list[frozen.Row]]) -> Iterator[None]:
    """`marks` of version 1 with many more rows, for this module only."""
    with closing(cluster.raw(f"{frozen.DATASTACK}__mat1")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO marks SELECT 1000 + i, true, ST_MakePoint(i, i, i), true, i FROM generate_series(1, {LONG}) i"
        )
    yield
    with closing(cluster.raw(f"{frozen.DATASTACK}__mat1")) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM marks WHERE id > 1000")


def request(base_url: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=30)
    path = f"/materialize/api/v3/datastack/{frozen.DATASTACK}/version/1/table/marks/query"
    connection.request("POST", path, json.dumps({}), {"Content-Type": "application/json"})
    return connection, connection.getresponse()


def statements(cluster: Cluster) -> list[tuple[str, ...]]:
    with closing(cluster.raw()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT query FROM pg_stat_activity WHERE datname = %s AND state = 'active'", (f"{frozen.DATASTACK}__mat1",)
        )
        return list(cursor.fetchall())


@pytest.mark.usefixtures("long_table")
def test_a_long_answer_comes_in_many_batches(base_url: str) -> None:
    connection, answer = request(base_url)
    with closing(connection), pa.ipc.open_stream(io.BytesIO(answer.read())) as reader:
        sizes = [batch.num_rows for batch in reader]
    assert sum(sizes) == LONG + 30 and len(sizes) > 10


@pytest.mark.usefixtures("long_table")
def test_a_client_that_goes_away_ends_its_statement(base_url: str, cluster: Cluster) -> None:
    connection, answer = request(base_url)
    answer.read(1000)
    assert statements(cluster)
    answer.close()
    connection.close()
    deadline = time.monotonic() + 10
    while statements(cluster) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not statements(cluster)


def test_a_connection_is_kept_and_one_that_died_replaced(cluster: Cluster) -> None:
    pool = ReadPool(cluster, 5.0)
    database = f"{frozen.DATASTACK}__mat1"
    first = pool.value(database, "SELECT pg_backend_pid()::bigint")
    assert pool.value(database, "SELECT pg_backend_pid()::bigint") == first
    with closing(cluster.raw()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", (first,))
    time.sleep(1.2)
    assert pool.value(database, "SELECT pg_backend_pid()::bigint") not in (first, None)
    pool.close()


def test_a_reader_cannot_write(cluster: Cluster) -> None:
    pool = ReadPool(cluster, 5.0)
    with pytest.raises(Exception, match="read-only"):
        pool.value(f"{frozen.DATASTACK}__mat1", "DELETE FROM marks RETURNING id")
    pool.close()


def test_no_more_databases_are_remembered_than_told(cluster: Cluster) -> None:
    pool = ReadPool(cluster, 5.0, databases=1)
    for version in (2, 1):
        database = f"{frozen.DATASTACK}__mat{version}"
        assert pool.value(database, "SELECT current_database()") == database
    with closing(cluster.raw()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tests query' AND datname = %s",
            (f"{frozen.DATASTACK}__mat2",),
        )
        assert cursor.fetchone() == (0,)
    pool.close()
