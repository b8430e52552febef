"""Runs over REST: what each door asks for, and what the ledger tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from materializationengine.workflows.requests import RunRequest, UploadRequest

from . import frozen

V2, V3 = "/materialize/api/v2", "/materialize/api/v3"
DS = frozen.DATASTACK
RUN = f"{V2}/materialize/run"
MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("rows")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RunRequest]:
    """The requests that reach the floor below, which is not entered."""
    seen: list[RunRequest] = []

    def launch(services: Any, request: RunRequest, send: Any, **_: Any) -> RunRecord:
        seen.append(request)
        return RunRecord(
            "abc", request.kind, request.datastack, None, RunStatus.RUNNING, None, None, "0", MOMENT, None, "db"
        )

    monkeypatch.setattr("materializationengine.web.runs.launch", launch)
    return seen


UPLOAD = {"schema": "synapse", "mapping": {"ids": "id", "sv": ["a", "b"]}}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (f"{V2}/celery/test/2", None, RunRequest(RunKind.DUMMY, seconds=(0.1, 0.1))),
        (f"{RUN}/ingest_annotations/datastack/{DS}", None, RunRequest(RunKind.INGEST, DS)),
        (f"{RUN}/ingest_annotations/datastack/{DS}/nuclei", None, RunRequest(RunKind.INGEST, DS, table="nuclei")),
        (
            f"{RUN}/update_roots/datastack/{DS}?lookup_all_root_ids=True",
            None,
            RunRequest(RunKind.UPDATE_ROOTS, DS, everything=True),
        ),
        (
            f"{RUN}/update_database/datastack/{DS}?lookup_all_root_ids=true",
            None,
            RunRequest(RunKind.UPDATE_DATABASE, DS, everything=True),
        ),
        (
            f"{RUN}/lookup_svid/datastack/{DS}/nuclei",
            {"annotation_ids": [1, 2**62 + 1]},
            RunRequest(RunKind.LOOKUP_SVID, DS, table="nuclei", annotation_ids=[1, 2**62 + 1]),
        ),
        (f"{RUN}/lookup_svid/datastack/{DS}/nuclei", {}, RunRequest(RunKind.LOOKUP_SVID, DS, table="nuclei")),
        (
            f"{V3}/materialize/run/lookup_root_ids/datastack/{DS}",
            None,
            RunRequest(RunKind.DENSE_MISSING_ROOTS, DS),
        ),
        (f"{RUN}/lookup_root_ids/datastack/{DS}", None, RunRequest(RunKind.DENSE_MISSING_ROOTS, DS)),
        (
            f"{RUN}/sparse_lookup_root_ids/datastack/{DS}/table/nuclei",
            None,
            RunRequest(RunKind.SPARSE_MISSING_ROOTS, DS, table="nuclei"),
        ),
        (
            f"{RUN}/remove_bad_root_ids/datastack/{DS}/table/nuclei",
            {"bad_roots": [2**62 + 1]},
            RunRequest(RunKind.REMOVE_BAD_ROOTS, DS, table="nuclei", bad_roots=(2**62 + 1,)),
        ),
        (
            f"{V3}/runs",
            {"kind": "ingest", "datastack": DS, "table": "nuclei", "annotation_ids": [3]},
            RunRequest(RunKind.INGEST, DS, table="nuclei", annotation_ids=[3]),
        ),
        (
            f"{RUN}/create_frozen/datastack/{DS}?days_to_expire=3&merge_tables=False",
            None,
            RunRequest(RunKind.FREEZE, DS, expires_in_days=3, split=True),
        ),
        (
            f"{RUN}/incremental/datastack/{DS}/version/4?days_to_expire=3",
            None,
            RunRequest(RunKind.INCREMENTAL, DS, expires_in_days=3, base_version=4),
        ),
        (
            f"{V3}/runs",
            {"kind": "incremental", "datastack": DS, "base_version": 4, "mends": 5, "phases": [3]},
            RunRequest(RunKind.INCREMENTAL, DS, base_version=4, mends=5, phases=[3]),
        ),
        (
            f"{RUN}/complete_workflow/datastack/{DS}",
            {"days_to_expire": 5, "merge_tables": True, "timestamp": "2026-01-31T12:00:00"},
            RunRequest(RunKind.COMPLETE, DS, MOMENT, expires_in_days=5),
        ),
        (
            f"{RUN}/complete_workflow/datastack/{DS}?timestamp=2026-01-31T13:00:00%2B01:00",
            None,
            RunRequest(RunKind.COMPLETE, DS, MOMENT),
        ),
        (
            f"{V2}/bulk_upload/upload/{DS}/new/{frozen.PCG}/words",
            {
                "column_mapping": UPLOAD["mapping"],
                "project": "bucket",
                "file_path": "a/b",
                "schema": "synapse",
                "materialized_ts": MOMENT.timestamp(),
            },
            RunRequest(
                RunKind.BULK_UPLOAD,
                DS,
                upload=UploadRequest(
                    "new", "synapse", "gs://bucket/a/b", UPLOAD["mapping"], roots_as_of=MOMENT, description="words"
                ),
            ),
        ),
        (
            f"{V3}/runs",
            {"kind": "freeze", "datastack": DS, "timestamp": "2026-01-31T12:00:00Z", "split": True},
            RunRequest(RunKind.FREEZE, DS, MOMENT, split=True),
        ),
        (
            f"{V3}/runs",
            {
                "kind": "bulk-upload",
                "datastack": DS,
                "upload": {**UPLOAD, "table": "new", "path": "file:///x", "resolution": [1, 2, 3]},
            },
            RunRequest(
                RunKind.BULK_UPLOAD,
                DS,
                upload=UploadRequest("new", "synapse", "file:///x", UPLOAD["mapping"], resolution=(1.0, 2.0, 3.0)),
            ),
        ),
    ],
)
def test_what_each_door_asks_for(
    client: FlaskClient, asked: list[RunRequest], path: str, body: Any, expected: RunRequest
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json["id"] == "abc" and answer.json["kind"] == str(expected.kind)
    assert asked == [expected]


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        (f"{V3}/runs", {}, 400, "kind"),
        (f"{V3}/runs", {"kind": "freez"}, 400, "kind"),
        (f"{V3}/runs", {"kind": "freeze", "datastack": DS, "timestamp": "soon"}, 400, "timestamp"),
        (f"{V3}/runs", {"kind": "freeze", "datastack": DS, "timestmp": "x"}, 400, "timestmp"),
        (
            f"{V3}/runs",
            {"kind": "freeze", "datastack": DS, "upload": {**UPLOAD, "table": "t", "path": "p"}},
            400,
            "upload",
        ),
        (f"{V3}/runs", {"kind": "bulk-upload", "datastack": DS}, 400, "upload"),
        (
            f"{V3}/runs",
            {"kind": "bulk-upload", "datastack": DS, "upload": {**UPLOAD, "table": "t"}},
            400,
            "upload.path",
        ),
        (f"{V2}/celery/test/0", None, 400, "iterations"),
        (f"{RUN}/lookup_svid/datastack/{DS}/nosuch", {"annotation_ids": [1]}, 404, "table_name"),
        (f"{RUN}/lookup_svid/datastack/{DS}/nuclei", {"annotation_ids": [1.0]}, 400, "annotation_ids.0"),
        (f"{RUN}/lookup_svid/datastack/{DS}/nuclei", {"annotation_ids": [2**63]}, 400, "annotation_ids.0"),
        (f"{RUN}/remove_bad_root_ids/datastack/{DS}/table/nuclei", {}, 400, "bad_roots"),
        (f"{RUN}/remove_bad_root_ids/datastack/{DS}/table/nuclei", {"bad_roots": []}, 400, "bad_roots"),
        (f"{RUN}/create_frozen/datastack/{DS}?days_to_expire=x", None, 400, "days_to_expire"),
        (f"{RUN}/ingest_annotations/datastack/{DS}/nosuch", None, 404, "table_name"),
        (
            f"{V2}/bulk_upload/upload/{DS}/new/other_pcg/words",
            {"column_mapping": {"a": "id"}, "file_path": "a", "schema": "synapse"},
            400,
            "segmentation_source",
        ),
        (
            f"{V2}/bulk_upload/upload/{DS}/new/{frozen.PCG}/words",
            {"column_mapping": {"a": 1}, "file_path": "a", "schema": "synapse"},
            400,
            "column_mapping",
        ),
    ],
)
def test_what_no_door_lets_in(
    client: FlaskClient, asked: list[RunRequest], path: str, body: Any, status: int, field: str
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status and answer.json["details"]["field"] == field, answer.text
    assert asked == []


@pytest.fixture
def queued(settings: Settings, redis: PrivateRedis) -> Iterator[FlaskClient]:
    app = create_app(replace(settings, redis_url=redis.url))
    yield app.test_client()
    parts(app).close()


def test_a_run_is_in_the_ledger_when_its_door_answers(queued: FlaskClient) -> None:
    started = queued.post(f"{V2}/celery/test/3")
    assert started.status_code == 202, started.text
    record = queued.get(f"{V3}/runs/{started.json['id']}").json
    assert record["kind"] == "dummy" and record["status"] == "RUNNING" and record["requested_by"] == "0"
    assert [step["units"] for step in record["steps"]] == [3, 3] and len(record["units"]) == 6
    listed = queued.get(f"{V3}/runs?limit=1").json
    assert [each["id"] for each in listed] == [record["id"]] and "units" not in listed[0]


def test_a_run_that_nobody_started(client: FlaskClient) -> None:
    answer = client.get(f"{V3}/runs/nosuch")
    assert answer.status_code == 404 and answer.json["error"] == "unknown_run"


def test_an_unknown_datastack_starts_nothing(queued: FlaskClient) -> None:
    answer = queued.post(f"{V3}/runs", json={"kind": "freeze", "datastack": "nosuch"})
    assert answer.status_code == 404 and DS in answer.json["message"]
