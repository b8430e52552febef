"""One id, from the header of a request to the last call that the request causes; and no secret on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import requests
from redis import Redis

from materializationengine.config import Settings
from materializationengine.kernel import trace
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.kernel.urls import password
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.gateways.servers import Answer, Loopback, Request, serving
from tests.harness import Engine
from tests.workflows.workers import wait_for, worker

ID = "follow-me-0123456789"


class Overheard:
    """Passes calls on to local CAVE; notes their headers, and what PostgreSQL shows at that moment."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.headers: list[dict[str, str]] = []
        self.sessions: set[str] = set()

    def __call__(self, request: Request) -> Answer:
        self.headers.append(request.headers)
        with self.engine.services.cluster.connect() as connection:
            self.sessions |= {name for (name,) in connection.rows("SELECT application_name FROM pg_stat_activity")}
        url = self.engine.neighbors.url + request.raw_path
        told = requests.request(request.method, url, params=request.query, data=request.body, timeout=30)
        return Answer(told.status_code, told.content, {"Content-Type": told.headers["Content-Type"]})


def test_one_id_is_found_in_logs_messages_statements_and_calls(
    engine: Engine, redis: PrivateRedis, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    engine.load(small_world, datastack)
    born = datetime.fromisoformat(json.loads((small_world / "about.json").read_text())["created"])
    engine.upload_synapses(small_world, datastack, born)
    heard, log = Overheard(engine), tmp_path / "worker.log"
    with serving(heard) as graph:
        environ = _environ(engine, redis, graph)
        app = create_app(replace(Settings.from_env(environ), auth_disabled=True))
        body, headers = {"kind": "ingest", "datastack": datastack}, {"X-Request-ID": ID}
        answer = app.test_client().post("/materialize/api/v3/runs", json=body, headers=headers)
        assert (answer.status_code, answer.headers["X-Request-ID"]) == (202, ID)
        run = answer.json["id"]
        waiting = [json.loads(message)["headers"] for message in Redis.from_url(redis.url).lrange("workflow", 0, -1)]
        assert [head["matengine_request_id"] for head in waiting if head["matengine_run_id"] == run] == [ID]
        with worker(environ, log):
            wait_for(engine, run, 60)
        parts(app).close()
    asked = [found for found in heard.headers if found.get("x-request-id") == ID]
    assert asked, heard.headers
    units = {found["x-unit-id"] for found in asked}
    assert {found["x-run-id"] for found in asked} == {run}
    shown = {f"u={unit} r={run} q={ID}" for unit in units}
    assert any(name.startswith("matengine worker") and name.endswith(tuple(shown)) for name in heard.sessions), (
        heard.sessions
    )
    lines = _lines(log)
    mine = [line for line in lines if line.get("request_id") == ID and line["event"] == "unit done"]
    assert {line["run_id"] for line in mine} == {run} and units <= {line["unit_id"] for line in mine}
    assert all(line["time"].endswith("Z") and line["level"] for line in lines)
    _no_secret(log, engine, redis)


def _environ(engine: Engine, redis: PrivateRedis, graph: Loopback) -> dict[str, str]:
    return {
        "SQLALCHEMY_DATABASE_URI": engine.services.settings.database_url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
        "PCG_SERVER_URL": graph.url,
        "REDIS_URL": redis.url,
        "SLACK_WEBHOOK": "http://127.0.0.1:9/services/T000/B000/whispered",
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "MATERIALIZATION_SWEEP_EVERY": "0.5",
    }


def _lines(log: Path) -> list[dict[str, str]]:
    """Every line that a worker wrote once it had read its settings; Celery's banner comes before."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def _no_secret(log: Path, engine: Engine, redis: PrivateRedis) -> None:
    text = log.read_text()
    for secret in (password(engine.services.settings.database_url), password(redis.url), "whispered"):
        assert len(secret) > 6 and secret not in text


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ä", "a\nb", "a'b"])
def test_an_id_that_could_break_a_line_or_a_statement_is_replaced(given: str) -> None:
    assert trace.accepted(given) != given
    assert len(trace.accepted(given)) == 16


def test_the_ids_are_never_cut_off_a_connections_name() -> None:
    trace.forget()
    with trace.serving("q" * 64, "r" * 12, 2**40):
        name = trace.application_name("matengine worker " + "x" * 90)
    assert len(name) == 63 and name.endswith(f" u={2**40} r={'r' * 12} q={'q' * 20}")
    assert trace.application_name("plain") == "plain"


def test_threads_of_a_pool_carry_the_ids() -> None:
    with trace.serving("here"), trace.Threads(2) as pool:
        assert set(pool.map(lambda _: trace.request_id(), range(4))) == {"here"}
