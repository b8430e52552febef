"""Operation over REST: control of runs, pauses, firings, and virtual versions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from materializationengine.web.parts import parts

from . import frozen

V2, V3 = "/materialize/api/v2", "/materialize/api/v3"
DS = frozen.DATASTACK
RUNS = f"{V3}/runs"
VIRTUAL = f"{V2}/materialize/run/create_virtual/datastack/{DS}"
pytestmark = pytest.mark.usefixtures("rows")


@pytest.fixture
def run(client: FlaskClient) -> Iterator[str]:
    """A dummy run that no worker does."""
    answer = client.post(RUNS, json={"kind": "dummy"})
    assert answer.status_code == 202
    yield answer.json["id"]
    client.post(f"{RUNS}/{answer.json['id']}/cancel")


def test_a_run_is_cancelled_resumed_and_retried(client: FlaskClient, run: str) -> None:
    cancelled = client.post(f"{RUNS}/{run}/cancel")
    assert (cancelled.status_code, cancelled.json["status"]) == (200, "CANCELLED")
    assert "cancelled by user" in cancelled.json["error"]
    again = client.post(f"{RUNS}/{run}/cancel")
    assert again.status_code == 400 and "over already" in again.json["message"]
    resumed = client.post(f"{RUNS}/{run}/resume")
    assert (resumed.status_code, resumed.json["status"], resumed.json["id"]) == (202, "RUNNING", run)
    retried = client.post(f"{RUNS}/{run}/retry")
    assert retried.status_code == 202 and retried.json["id"] != run
    client.post(f"{RUNS}/{retried.json['id']}/cancel")


@pytest.mark.parametrize("deed", ["cancel", "resume", "retry"])
def test_control_of_an_unknown_run_is_404(client: FlaskClient, deed: str) -> None:
    assert client.post(f"{RUNS}/000000000000/{deed}").status_code == 404


def test_pause_and_unpause(client: FlaskClient) -> None:
    paused = client.post(f"{RUNS}/pause", json={"datastack": DS, "reason": "upgrade"})
    assert [(each["scope"], each["reason"], each["at_work"]) for each in paused.json] == [(DS, "upgrade", 0)]
    assert client.get(f"{RUNS}/pauses").json == paused.json
    assert client.post(f"{RUNS}/unpause", json={"datastack": DS}).json == []
    assert client.post(f"{RUNS}/pause", json={"datastack": "nobody"}).status_code == 404


@pytest.mark.parametrize("kind", ["freeze", "complete", "ingest", "update-roots", "update-database"])
def test_no_work_is_started_on_a_datastack_that_only_shows(client: FlaskClient, kind: str) -> None:
    """A version frozen under the public name would show every table of its parent."""
    answer = client.post(RUNS, json={"kind": kind, "datastack": frozen.PUBLIC})
    assert (answer.status_code, answer.json["error"]) == (400, "only_shown"), answer.text


def test_firings_are_listed(client: FlaskClient) -> None:
    assert isinstance(client.get(f"{RUNS}/schedules").json, list)


def test_a_virtual_version_shows_its_tables_and_no_others(client: FlaskClient, app: Flask) -> None:
    body = {"target_version": 1, "tables_to_include": ["nuclei"], "virtual_version_name": "shared_stack"}
    assert client.post(VIRTUAL, json=body).text == "shared_stack created"
    with parts(app).services.cluster.connect(frozen.VOLUME) as connection:
        rows = connection.rows(
            "SELECT v.version, t.table_name FROM analysisversion v JOIN analysistables t ON t.analysisversion_id = v.id"
            " WHERE v.datastack = 'shared_stack'"
        )
        connection.execute(
            "DELETE FROM analysistables WHERE analysisversion_id IN "
            "(SELECT id FROM analysisversion WHERE datastack = 'shared_stack')"
        )
        connection.execute("DELETE FROM analysisversion WHERE datastack = 'shared_stack'")
        connection.commit()
    assert rows == [(1, "nuclei")]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"target_version": 99}, 404),
        ({"target_version": 3}, 410),
        ({"tables_to_include": []}, 400),
        ({"tables_to_include": ["nothing"]}, 404),
        ({"virtual_version_name": ""}, 400),
    ],
)
def test_a_virtual_version_that_cannot_be_is_refused(
    client: FlaskClient, changes: dict[str, object], status: int
) -> None:
    body = {"target_version": 1, "tables_to_include": ["nuclei"], "virtual_version_name": "shared_stack"} | changes
    assert client.post(VIRTUAL, json=body).status_code == status
