"""Tables found by words, and how many statements their metadata takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from materializationengine.config import Settings
from materializationengine.gateways.auth import User
from materializationengine.storage.engines import Cluster
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts

from . import frozen
from .asking import API
from .test_auth import FourPeople

STACK = f"{API}/datastack/{frozen.DATASTACK}"
PUBLIC = f"{API}/datastack/{frozen.PUBLIC}"


def names(client: FlaskClient, words: str, stack: str = STACK) -> list[str]:
    answer = client.get(f"{stack}/tables", query_string={"search": words})
    assert answer.status_code == 200, answer.text
    return [each["table_name"] for each in answer.json]


@pytest.fixture
def described(cluster: Cluster, rows: frozen.Rows) -> Iterator[None]:
    """One table with a description that means something to SQL."""
    change = "UPDATE annotation_table_metadata SET description = %s, user_id = %s, read_permission = %s" + _WHERE
    _write(cluster, change, "cells 100%_sure\\ of it", "77", "PRIVATE")
    yield
    _write(cluster, change, "what it is", "3", "PUBLIC")


_WHERE = " WHERE table_name = 'nuclei'"


def _write(cluster: Cluster, statement: str, *values: Any) -> None:
    with closing(cluster.raw(frozen.VOLUME)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_every_word_is_looked_for_in_name_description_schema_and_owner(client: FlaskClient, described: None) -> None:
    assert set(frozen.SCHEMAS) <= set(names(client, ""))
    for words in ("NUCL", "detection nuclei", "100%_sure\\", "77", "nucleus 77 cells"):
        # Other modules leave tables behind, some of them nucleus detections too.
        found = names(client, words)
        assert "nuclei" in found and not set(found) & (set(frozen.SCHEMAS) - {"nuclei"}), words
    assert names(client, "nuclei synapse") == []
    assert "synapses" not in names(client, "%") and "synapses" not in names(client, "_sure")
    assert names(client, "'; DROP TABLE annotation_table_metadata; --") == []


def test_a_record_tells_rows_and_the_last_change(client: FlaskClient, rows: frozen.Rows) -> None:
    (found,) = client.get(f"{STACK}/tables?search=synapses").json
    assert found == {
        "table_name": "synapses",
        "schema": "synapse",
        "description": "what it is",
        "user_id": "3",
        "reference_table": None,
        "read_permission": "PUBLIC",
        "row_count": len(rows["synapses"]),
        "version": 2,
        "last_modified": "2025-01-02T00:00:00.000000",
    }


def test_a_public_datastack_finds_its_own_tables_until_its_moment(
    client: FlaskClient, cluster: Cluster, rows: frozen.Rows
) -> None:
    assert names(client, "", PUBLIC) == ["cell_types", "nuclei"]
    change = "UPDATE annotation_table_metadata SET last_modified = %s" + _WHERE
    _write(cluster, change, "2026-06-01")
    try:
        (public,) = client.get(f"{PUBLIC}/tables?search=nuclei").json
        (own,) = client.get(f"{STACK}/tables?search=nuclei").json
    finally:
        _write(cluster, change, "2025-01-02")
    assert public["last_modified"] == "2026-01-02T03:04:05.000006" and own["last_modified"] > "2026-05"
    assert public["row_count"] == len(rows["nuclei"]) and public["version"] == 5
    hide = "UPDATE analysisversion SET status = %s WHERE datastack = %s"
    _write(cluster, hide, "EXPIRED", frozen.PUBLIC)
    try:
        assert names(client, "", PUBLIC) == []
    finally:
        _write(cluster, hide, "AVAILABLE", frozen.PUBLIC)


def test_rows_of_a_table_are_for_those_who_may_read_it(settings: Settings, described: None) -> None:
    app = create_app(replace(settings, auth_disabled=False))
    parts(app).auth = FourPeople()  # type: ignore[assignment]
    try:
        asked = app.test_client()
        assert asked.get(f"{STACK}/tables").status_code == 401
        (found,) = asked.get(f"{STACK}/tables?search=nuclei&middle_auth_token=reader").json
        assert found["row_count"] is None and found["read_permission"] == "PRIVATE"
        (found,) = asked.get(f"{STACK}/tables?search=nuclei&middle_auth_token=admin").json
        assert found["row_count"] and User(4, admin=True).admin
        told = asked.get(f"{STACK}/version/1/citation?middle_auth_token=reader").text
        assert "nuclei: uncounted" in told
        info = f"{STACK}/version/1/table/nuclei/precomputed/info?middle_auth_token="
        assert [asked.get(info + who).status_code for who in ("admin", "reader", "stranger")] == [200, 401, 403]
        assert asked.get(f"{STACK}/table/nuclei/info?middle_auth_token=reader").status_code == 401
        assert asked.get(f"{STACK}/table/cell_types/info?middle_auth_token=reader").status_code == 401
    finally:
        parts(app).close()


@pytest.fixture
def many(cluster: Cluster, rows: frozen.Rows) -> Iterator[None]:
    """Two hundred tables more, all in version 1."""
    with closing(cluster.raw(frozen.VOLUME)) as connection, connection, connection.cursor() as cursor:
        for number in range(200):
            name = f"many_{number:03}"
            cursor.execute(frozen._METADATA, ("synapse", name, None, 4, 4, 40, None))
            cursor.execute(
                "INSERT INTO analysistables (aligned_volume, schema, table_name, valid, created, analysisversion_id)"
                " SELECT %s, 'synapse', %s, true, time_stamp, id FROM analysisversion"
                " WHERE datastack = %s AND version = 1",
                (frozen.VOLUME, name, frozen.DATASTACK),
            )
    yield
    _write(cluster, "DELETE FROM analysistables WHERE table_name LIKE 'many%%'")
    _write(cluster, "DELETE FROM annotation_table_metadata WHERE table_name LIKE 'many%%'")


def test_metadata_of_two_hundred_tables_take_one_statement(app: Flask, client: FlaskClient, many: None) -> None:
    client.get(f"{STACK}/tables")
    seen: list[str] = []
    engine = parts(app).services.cluster.engine(frozen.VOLUME)

    @event.listens_for(engine, "before_cursor_execute")
    def note(*known: Any) -> None:
        if not known[2].startswith("SET"):  # the name under which operators see the session
            seen.append(known[2])

    assert len(client.get(f"{STACK}/version/1/tables/metadata").json) == 204 and len(seen) == 1
    assert len(client.get(f"{STACK}/tables").json) >= 204 and len(seen) == 2
    assert len(client.get(f"{STACK}/tables?search=many").json) == 200 and len(seen) == 3
    assert client.get(f"{STACK}/version/9/tables/metadata").status_code == 404
