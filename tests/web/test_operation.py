"""What administrators look at: workers, queues, active runs, volumes, and tables as CSV."""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from materializationengine.config import Settings
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts

from . import frozen

V2 = "/materialize/api/v2"
VOLUME = f"{V2}/aligned_volumes/{frozen.VOLUME}"
DUMP = f"{V2}/materialize/run/dump_csv_table/datastack/{frozen.DATASTACK}/version"
pytestmark = pytest.mark.usefixtures("rows")


@pytest.fixture
def client(settings: Settings, redis: PrivateRedis, tmp_path: Path) -> Iterator[FlaskClient]:
    app = create_app(replace(settings, redis_url=redis.url, dump_folder=str(tmp_path / "dumps")))
    yield app.test_client()
    parts(app).close()


def test_active_runs_are_listed_and_none_can_be_pushed_aside(client: FlaskClient) -> None:
    before = client.get(f"{V2}/celery/status/queue").json
    started = client.post(f"{V2}/celery/test/2").json["id"]
    assert client.get(f"{V2}/celery/status/queue").json == before + 2
    for method in (client.get, client.put):
        locks = method(f"{V2}/workflow/status/locks").json
        assert locks[started] == {"locked": True, "kind": "dummy", "datastack": None}
    assert client.get(f"/materialize/api/v3/runs/{started}").json["status"] == "RUNNING"


def test_no_worker_is_no_error(client: FlaskClient) -> None:
    assert client.get(f"{V2}/workflow/status/active").json is None
    info = client.get(f"{V2}/celery/status/info").json
    assert set(info) == {"availability", "stats", "registered_tasks", "active_tasks", "scheduled_tasks"}
    assert set(info.values()) == {None}


@pytest.mark.parametrize("path", ["celery/status/queue", "celery/status/info", "workflow/status/active"])
def test_a_broker_that_is_down_is_named(settings: Settings, path: str) -> None:
    app = create_app(settings)
    started = time.monotonic()
    answer = app.test_client().get(f"{V2}/{path}")
    parts(app).close()
    assert answer.status_code == 503 and "broker" in answer.json["message"], answer.text
    assert time.monotonic() - started < 6


def test_a_volume_and_what_it_holds(client: FlaskClient) -> None:
    stacks = client.get(f"{V2}/aligned_volume/{frozen.VOLUME}").json
    assert {"datastack": frozen.DATASTACK} in stacks
    versions = client.get(VOLUME).json
    assert {"datastack", "version", "time_stamp", "status"} <= versions[0].keys()
    assert client.post(VOLUME).json == 200
    assert client.get(f"{V2}/aligned_volume/nosuch").status_code == 404
    tables = {each["table_name"]: each for each in client.get(f"{VOLUME}/version/1").json}
    assert tables["synapses"]["schema"] == "synapse" and tables["synapses"]["row_count"]
    rows = client.get(f"{VOLUME}/version/1/tablename/synapses").json
    assert len(rows) == 10 and len(rows[0]["pre_pt_position"]) == 3 and isinstance(rows[0]["pre_pt_root_id"], int)
    assert client.get(f"{VOLUME}/version/77").status_code == 404
    assert client.get(f"{VOLUME}/version/1/tablename/nosuch").status_code == 404


def test_a_table_is_dumped_once(client: FlaskClient) -> None:
    first = client.post(f"{DUMP}/1/table_name/nuclei/").json
    assert first["message"] == "written", first
    (header,) = csv.reader(Path(first["header_path"]).read_text().splitlines())
    with gzip.open(first["csv_path"], "rt") as text:
        rows = list(csv.reader(text))
    assert header[0] == "id" and "pt_root_id" in header and all(len(row) == len(header) for row in rows)
    counted = client.get(f"{VOLUME}/version/1").json
    assert [len(rows)] == [each["row_count"] for each in counted if each["table_name"] == "nuclei"]
    assert client.post(f"{DUMP}/1/table_name/nuclei/").json["message"] == "was there already"
    assert client.post(f"{DUMP}/1/table_name/nosuch/").status_code == 404
    assert client.post(f"{DUMP}/77/table_name/nuclei/").status_code == 404


def test_without_a_folder_nothing_is_dumped(settings: Settings) -> None:
    app = create_app(settings)
    answer = app.test_client().post(f"{DUMP}/1/table_name/nuclei/")
    parts(app).close()
    assert answer.status_code == 400 and "MATERIALIZATION_DUMP_FOLDER" in answer.json["message"]
