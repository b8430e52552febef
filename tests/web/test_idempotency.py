"""Requests that come twice under one key: one deed, one answer, whatever happens between the two."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from materializationengine.storage import idempotency
from materializationengine.storage.engines import Cluster

from . import frozen

RUNS = "/materialize/api/v3/runs"
TRIGGER = "/materialize/api/v2/celery/test/2"
BASE = f"/annotation/api/v2/aligned_volume/{frozen.VOLUME}/table"
NUMBERS = itertools.count(1)
pytestmark = pytest.mark.usefixtures("rows")


@pytest.fixture
def key() -> str:
    return f"key-{next(NUMBERS)}"


@pytest.fixture
def table(client: FlaskClient) -> Iterator[str]:
    words = {"description": "d", "voxel_resolution_x": 1, "voxel_resolution_y": 1, "voxel_resolution_z": 1}
    body = {"schema_type": "bound_tag", "table_name": f"twice_{next(NUMBERS)}", "metadata": words}
    name = client.post(BASE, json=body).json
    yield name
    client.delete(f"{BASE}/{name}")


def send(client: FlaskClient, path: str, body: Any, key: str, method: str = "POST") -> TestResponse:
    return client.open(path, method=method, json=body, headers={"Idempotency-Key": key})


def rows(*tags: str) -> dict[str, Any]:
    return {"annotations": [{"pt": {"position": [1, 2, 3]}, "tag": tag} for tag in tags]}


def count(client: FlaskClient, table: str) -> int:
    return int(client.get(f"{BASE}/{table}/count").json)


def test_annotations_are_written_once(client: FlaskClient, table: str, key: str) -> None:
    path = f"{BASE}/{table}/annotations"
    first, again = send(client, path, rows("a", "b"), key), send(client, path, rows("a", "b"), key)
    assert first.status_code == again.status_code == 200 and first.json == again.json
    assert count(client, table) == 2
    assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"
    other = send(client, path, rows("a", "c"), key)
    assert (other.status_code, other.json["error"]) == (422, "key_reused")
    assert count(client, table) == 2
    assert send(client, path, rows("a", "b"), f"{key}-next").json != first.json


def test_an_update_is_done_once(client: FlaskClient, table: str, key: str) -> None:
    path = f"{BASE}/{table}/annotations"
    (old,) = client.post(path, json=rows("a")).json
    body = {"annotations": [{"id": old, "tag": "b"}]}
    first, again = (send(client, path, body, key, "PUT") for _ in range(2))
    assert first.json == again.json == {str(old): first.json[str(old)]}
    assert client.put(path, json=body).status_code == 409, "without a key the second is refused"


def test_a_table_is_made_once(client: FlaskClient, key: str) -> None:
    words = {"description": "d", "voxel_resolution_x": 1, "voxel_resolution_y": 1, "voxel_resolution_z": 1}
    body = {"schema_type": "bound_tag", "table_name": f"made_{next(NUMBERS)}", "metadata": words}
    assert [send(client, BASE, body, key).status_code for _ in range(2)] == [200, 200]
    assert client.post(BASE, json=body).status_code == 409
    client.delete(f"{BASE}/{body['table_name']}")


def test_a_request_that_failed_leaves_its_key_free(client: FlaskClient, table: str, key: str) -> None:
    path = f"{BASE}/{table}/annotations"
    missing = {"annotations": [{"id": 10**6, "tag": "b"}]}
    assert [send(client, path, missing, key, "PUT").status_code for _ in range(2)] == [404, 404]
    assert send(client, path, rows("a"), key).status_code == 200
    assert count(client, table) == 1


@pytest.mark.parametrize(("path", "body"), [(TRIGGER, None), (RUNS, {"kind": "dummy"})])
def test_a_run_is_started_once(client: FlaskClient, path: str, body: Any, key: str) -> None:
    first, again = send(client, path, body, key), send(client, path, body, key)
    assert first.status_code == again.status_code == 202 and first.json["id"] == again.json["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert send(client, path, {"timestamp": None, **(body or {})}, key).status_code == 422
    assert send(client, path, body, f"{key}-next").json["id"] != first.json["id"]


def test_a_run_that_excludes_others_is_found_again_instead_of_refused(client: FlaskClient, key: str) -> None:
    body = {"kind": "update-roots", "datastack": frozen.DATASTACK, "timestamp": "2026-01-02T03:04:06"}
    first = send(client, RUNS, body, key)
    assert first.status_code == 202, first.text
    try:
        assert send(client, RUNS, body, key).json["id"] == first.json["id"]
        assert client.post(RUNS, json=body).status_code == 409
    finally:
        client.post(f"{RUNS}/{first.json['id']}/cancel")
    assert send(client, RUNS, body, key).json["status"] == "CANCELLED"


def test_twins_at_the_same_time_write_once(app: Flask, client: FlaskClient, table: str, key: str) -> None:
    path, answers = f"{BASE}/{table}/annotations", []
    gate = threading.Barrier(6)

    def ask() -> None:
        gate.wait()
        answers.append(send(app.test_client(), path, rows("a"), key))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({str(answer.json) for answer in answers}) == 1 and count(client, table) == 1


def test_keys_of_others_are_not_mine(cluster: Cluster, client: FlaskClient, table: str, key: str) -> None:
    theirs = idempotency.Key("12345", key, "digest")
    with cluster.connect(frozen.VOLUME, "tests") as connection:
        assert idempotency.once(connection, theirs, lambda: [7]) == ([7], False)
        connection.commit()
    assert send(client, f"{BASE}/{table}/annotations", rows("a"), key).json != [7]


def test_a_key_is_forgotten_after_a_week(cluster: Cluster, key: str) -> None:
    mine, later = idempotency.Key("1", key, "a"), idempotency.Key("1", f"{key}-later", "a")
    with cluster.connect(frozen.VOLUME, "tests") as connection:
        idempotency.once(connection, mine, lambda: 1)
        connection.execute(
            "UPDATE matengine.idempotency SET created = created - interval '8 days' WHERE key = $1", mine.key
        )
        idempotency.once(connection, later, lambda: 2)
        assert idempotency.once(connection, mine, lambda: 3) == (3, False)
        connection.rollback()


@pytest.mark.parametrize("bad", ["", " ", "a b", "é", "x" * 129])
def test_what_is_no_key(client: FlaskClient, bad: str) -> None:
    answer = send(client, TRIGGER, None, bad)
    assert answer.status_code == 400 and answer.json["details"]["field"] == "Idempotency-Key"
