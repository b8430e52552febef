"""No token and no password is kept: not in the databases, not in Redis, not in a log, after a run that used them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import psycopg2
import redis as redis_client

from materializationengine.config import Settings
from materializationengine.domain.plan import RunStatus
from materializationengine.kernel import moments
from materializationengine.kernel.pg_client import run_client
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.kernel.urls import libpq
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.harness import Engine
from tests.workflows.workers import wait_for, worker

ENGINE_TOKEN = "engine-token-5f3a9c"
USER_TOKEN = "user-token-77b1de"
DAY1 = moments.parse("2026-01-02T00:00:00+00:00")


def test_secrets_are_kept_nowhere(
    engine: Engine, postgres: PrivateCluster, redis: PrivateRedis, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, DAY1)
    (tmp_path / "token.json").write_text(json.dumps({"token": ENGINE_TOKEN}))
    environ = {
        "SQLALCHEMY_DATABASE_URI": postgres.url,
        "REDIS_URL": redis.url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
        "DAF_CREDENTIALS": str(tmp_path / "token.json"),
        "AUTH_DISABLED": "true",
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "LOGGING_LEVEL": "DEBUG",
    }
    log = tmp_path / "log"
    app = create_app(Settings.from_env(environ))
    with worker(environ, log, concurrency=1):
        client = app.test_client()
        for path, headers in (
            ("", {"Authorization": f"Bearer {USER_TOKEN}"}),
            (f"?middle_auth_token={USER_TOKEN}", {}),
        ):
            body = {"kind": "complete", "datastack": datastack, "timestamp": DAY1.isoformat()}
            started = client.post(f"/materialize/api/v3/runs{path}", json=body, headers=headers)
            assert started.status_code in (200, 201, 202), started.text
            assert wait_for(engine, started.json["id"], 90).status is RunStatus.SUCCEEDED
        left = everything(postgres, redis)
    parts(app).close()
    said = log.read_text(errors="replace")
    assert started.json["id"] in said and started.json["id"] in left, "the search looks in the right places"
    for secret in (ENGINE_TOKEN, USER_TOKEN, password(postgres.url), password(redis.url)):
        assert secret not in left
        assert secret not in said


def password(url: str) -> str:
    return url.rpartition("@")[0].rpartition(":")[2]


def everything(postgres: PrivateCluster, redis: PrivateRedis) -> str:
    """All rows of all databases, and all that Redis holds, as text."""
    with closing(psycopg2.connect(postgres.url)) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname !~ '^template'")
        names = [name for (name,) in cursor.fetchall()]
        major = admin.server_version // 10_000
    texts = [run_client("pg_dump", libpq(postgres.url, database=name), ["--inserts"], major=major) for name in names]
    client = redis_client.Redis.from_url(redis.url)
    for key in client.scan_iter("*"):
        texts += [repr(key), repr(client.dump(key))]
    client.close()
    return "\n".join(texts)
