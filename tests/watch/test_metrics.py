"""`/metrics` and `/health` against figures that are known from elsewhere."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind
from materializationengine.kernel.processes import wait_until
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.watch import watcher
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.harness import Engine
from tests.workflows.workers import kill_all, worker


@pytest.fixture
def app(engine: Engine, redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The service on the test's own parts, which looks anew at every request."""
    monkeypatch.setattr(watcher, "FRESH", 0.0)
    monkeypatch.setattr(watcher, "SIZES_FRESH", 0.0)
    made = create_app(replace(engine.services.settings, auth_disabled=True, redis_url=redis.url))
    yield made
    parts(made).close()


def scrape(client: FlaskClient) -> dict[str, Metric]:
    """Families by name."""
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.content_type.startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(family: Metric, **labels: str) -> float:
    """The one sample that has these labels."""
    found = [s.value for s in family.samples if labels.items() <= s.labels.items()]
    assert len(found) == 1, (labels, family.samples)
    return found[0]


def _version(engine: Engine, world: Path, datastack: str) -> int:
    engine.load(world, datastack)
    born = datetime.fromisoformat(json.loads((world / "about.json").read_text())["created"])
    engine.upload_synapses(world, datastack, born)
    version = engine.run(RunKind.COMPLETE, datastack, as_of=born.replace(month=2)).version
    assert version is not None
    return version


def test_figures_are_those_of_the_ledger_and_the_server(
    app: Flask, engine: Engine, small_world: Path, datastack: str
) -> None:
    made = _version(engine, small_world, datastack)
    _ask_and_compare(app.test_client(), datastack, made)
    volume = f"{datastack}_volume"
    engine.start_only(RunKind.UPDATE_ROOTS, datastack)
    found = scrape(app.test_client())
    assert value(found["matengine_units"], datastack=datastack, state="READY", workflow="update-roots") >= 1
    assert value(found["matengine_runs_ended_1d"], workflow="complete", status="SUCCEEDED") >= 1
    assert value(found["matengine_versions"], datastack=datastack) == 1
    age = (datetime.now(UTC) - datetime(2026, 2, 1, tzinfo=UTC)).total_seconds()
    assert abs(value(found["matengine_version_age_seconds"], datastack=datastack) - age) < 60
    assert value(found["matengine_queue_ready_units"], queue="workflow") >= 1
    assert 0 <= value(found["matengine_queue_age_seconds"], queue="workflow") < 300
    with engine.services.cluster.connect(volume) as connection:
        size = connection.value("SELECT pg_database_size(current_database())")
        owed = connection.value("SELECT count(*) FROM matengine.unresolved")
        history = connection.value("SELECT pg_total_relation_size('matengine.root_held')")
    assert abs(value(found["matengine_database_bytes"], database=volume) - size) < 1 << 20
    assert value(found["matengine_database_bytes"], database=f"{datastack}__mat1") > 1 << 20
    assert value(found["matengine_table_bytes"], database=volume, table="root_held") == history
    mine = [s.value for s in found["matengine_unresolved_rows"].samples if s.labels["database"] == volume]
    assert sum(mine) == owed
    assert value(found["matengine_free_bytes"]) > value(found["matengine_reserve_bytes"])
    assert value(found["matengine_workers"], queue="process") == 0
    assert value(found["matengine_beats"]) == 0
    assert value(found["matengine_queue_messages"], queue="process") == 0


def _ask_and_compare(client: FlaskClient, datastack: str, made: int) -> None:
    """Requests and rows are counted by rule."""
    base = f"/materialize/api/v3/datastack/{datastack}/version/{made}"
    for _ in range(3):
        rows = client.post(f"{base}/table/synapses/query", json={"limit": 7}, headers={"Accept": "application/json"})
        assert rows.status_code == 200 and len(rows.data) > 7
    client.get("/no/such/path/1")
    client.get("/no/such/path/2")
    found = scrape(client)
    requests = found["matengine_http_requests"]
    rule = next(s.labels["rule"] for s in requests.samples if s.labels["rule"].endswith("/query"))
    assert "<" in rule and value(requests, rule=rule, status="200", method="POST").is_integer()
    totals = [s for s in requests.samples if s.name.endswith("_total")]
    assert {(s.labels["rule"], s.labels["status"]): s.value for s in totals} == {(rule, "200"): 3, ("(none)", "404"): 2}
    assert [s.value for s in found["matengine_rows_sent"].samples if s.name.endswith("_total")] == [21]
    seconds = [s for s in found["matengine_http_request_seconds"].samples if s.name.endswith("_count")]
    assert sum(s.value for s in seconds) == 5


def test_an_age_counts_from_when_a_unit_became_ready_however_often_its_message_went_out(
    app: Flask, engine: Engine, datastack: str
) -> None:
    run = engine.start_only(RunKind.DUMMY, None, seconds=(0.01,))
    home = engine.services.cluster.home
    with engine.services.cluster.connect(home) as connection:
        # Sent 5 times: the waits were 30, 60, .. 480 s, the last of which ends in 100 s.
        connection.execute(
            "UPDATE matengine.unit SET sends = 5, send_after = clock_timestamp() + interval '100 s' "
            "WHERE run_id = $1 AND status = 'READY'",
            run,
        )
        connection.commit()
    age = value(scrape(app.test_client())["matengine_queue_age_seconds"], queue="process")
    assert 829 < age < 860
    with engine.services.cluster.connect(home) as connection:
        connection.execute("UPDATE matengine.run SET status = 'CANCELLED' WHERE id = $1", run)
        connection.commit()


def test_graph_calls_of_every_process_are_added_up(app: Flask) -> None:
    broker = parts(app).services.broker
    before = _graph(app)
    for outcome, seconds in (("ok", 0.02), ("ok", 0.5), ("ok", 1000.0), ("down", 2.0)):
        broker.count_call(outcome, seconds)
    after = _graph(app)
    gained = {key: after[key] - before.get(key, 0) for key in after}
    assert gained["ok", "_bucket", "0.03"] == 1 and gained["ok", "_bucket", "1.0"] == 2
    assert gained["ok", "_bucket", "120.0"] == 2 and gained["ok", "_bucket", "+Inf"] == 3
    assert gained["ok", "_count", ""] == 3 and abs(gained["ok", "_sum", ""] - 1000.52) < 1e-6
    assert gained["down", "_count", ""] == 1


def _graph(app: Flask) -> Mapping[tuple[str, str, str], float]:
    family = scrape(app.test_client()).get("matengine_graph_request_seconds")
    samples = family.samples if family else []
    length = len("matengine_graph_request_seconds")
    return {(s.labels["outcome"], s.name[length:], s.labels.get("le", "")): s.value for s in samples}


def test_figures_that_cannot_be_asked_are_left_out_and_the_rest_is_told() -> None:
    nowhere = Settings(
        database_url="postgresql://postgres:x@127.0.0.1:1/postgres",
        redis_url="redis://127.0.0.1:1/0",
        auth_disabled=True,
    )
    app = create_app(nowhere)
    found = scrape(app.test_client())
    assert {"matengine_build_info", "matengine_check"} <= found.keys() and "matengine_units" not in found
    assert value(found["matengine_check"], check="postgresql") == value(found["matengine_check"], check="redis") == 0
    answer = app.test_client().get("/health")
    assert (answer.status_code, answer.json["status"]) == (503, "red")
    assert app.test_client().get("/health/live").status_code == 200
    parts(app).close()


def test_figures_may_take_a_token_that_is_read_anew(app: Flask, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first-token\n")
    closed = create_app(replace(parts(app).settings, metrics_token_file=str(secret)))

    def status(token: str) -> int:
        return closed.test_client().get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code

    assert [status(token) for token in ("", "wrong", "first-token")] == [401, 401, 200]
    secret.write_text("second-token")
    assert [status(token) for token in ("first-token", "second-token")] == [401, 200]
    parts(closed).close()


def test_a_worker_that_was_killed_is_told_from_one_that_was_stopped(
    app: Flask, engine: Engine, redis: PrivateRedis, tmp_path: Path
) -> None:
    client = app.test_client()
    environ = {
        "SQLALCHEMY_DATABASE_URI": engine.services.settings.database_url,
        "REDIS_URL": redis.url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
    }

    def counted() -> tuple[float, float]:
        found = scrape(client)
        return tuple(value(found[f"matengine_{name}"], queue="process") for name in ("workers", "workers_lost"))

    _, before = counted()
    with worker(environ, tmp_path / "a.log") as stopped, worker(environ, tmp_path / "b.log") as killed:
        assert wait_until(lambda: counted() == (2, before), 60), counted()
        stopped.send_signal(signal.SIGTERM)
        assert wait_until(lambda: counted()[0] == 1, 60) and counted() == (1, before)
        kill_all(killed)
        assert wait_until(lambda: counted()[0] == 0, 60) and counted() == (0, before + 1)
