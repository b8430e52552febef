"""CAVE's trigger for missing chunks: the upload that failed goes on, and only that one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.storage import run_records
from materializationengine.storage.uploads import UploadStage
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from materializationengine.workflows.requests import UploadRequest
from tests.harness import SYNAPSE_MAPPING, Engine

DAY0 = moments.parse("2026-01-01T00:00:00+00:00")


@pytest.fixture
def door(engine: Engine, redis: PrivateRedis) -> Iterator[FlaskClient]:
    app = create_app(replace(engine.services.settings, auth_disabled=True, redis_url=redis.url))
    yield app.test_client()
    parts(app).close()


def test_an_upload_that_failed_goes_on_and_a_whole_one_lacks_nothing(
    engine: Engine, door: FlaskClient, small_world: Path, datastack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.load(small_world, datastack)
    path = f"/materialize/api/v2/bulk_upload/missing_chunks/{datastack}/synapses"
    body = {"chunks": [[0, 100]], "column_mapping": {}, "project": "p", "file_path": "f", "schema": "synapse"}
    none = door.post(f"{path}/{datastack}_pcg/again", json=body)
    assert none.status_code == 404 and "ended early" in none.json["message"]  # type: ignore[index]
    columns = str(small_world / "annotations/synapses")
    upload = UploadRequest("synapses", "synapse", columns, SYNAPSE_MAPPING, created=DAY0)
    with monkeypatch.context() as patch:
        patch.setattr(UploadStage, "build", lambda *_: 1 / 0)
        failed = engine.attempt(RunKind.BULK_UPLOAD, datastack, upload=upload)
    assert failed.status is RunStatus.FAILED
    wrong = door.post(f"{path}/other_pcg/again", json=body)
    assert wrong.status_code == 400 and f"is bound to {datastack}_pcg" in wrong.json["message"]  # type: ignore[index]
    answer = door.post(f"{path}/{datastack}_pcg/again", json=body)
    assert answer.status_code == 202 and answer.json["id"] == failed.id  # type: ignore[index]
    for _ in range(5):
        engine.drain(engine._due(failed.database))
    assert run_records.find_run(engine.services.cluster, failed.id).status is RunStatus.SUCCEEDED
    whole = door.post(f"{path}/{datastack}_pcg/again", json=body)
    assert 400 <= whole.status_code < 500 and "is there" in whole.json["message"]  # type: ignore[index]
