"""`matengine verify`: what was published of a version against what it holds, and its citation when it is gone."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from materializationengine import __version__
from materializationengine.cli import main
from materializationengine.domain.plan import RunKind
from materializationengine.kernel import moments
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.harness import Engine

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")


@pytest.fixture
def environ(engine: Engine, redis: PrivateRedis) -> dict[str, str]:
    settings = engine.services.settings
    return {
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "LOCAL_SERVER_URL": settings.local_server,
        "REDIS_URL": redis.url,
        "AUTH_DISABLED": "true",
        "MATERIALIZATION_AS_OF_MARGIN": "0",
    }


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    engine.run(RunKind.INGEST, datastack, as_of=BIRTH)
    return datastack


def verify(environ: dict[str, str], *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(main, ["verify", *words], env=environ)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.output


def test_a_version_is_as_it_was_published_until_somebody_touches_it(
    engine: Engine, environ: dict[str, str], stack: str
) -> None:
    merged = engine.run(RunKind.FREEZE, stack, as_of=BIRTH).version
    split = engine.run(RunKind.FREEZE, stack, as_of=BIRTH, split=True).version
    (one,), (other,) = (verify(environ, stack, str(version), "--json") for version in (merged, split))
    assert one["same"] and one["digest"] == one["found"]["digest"] and one["rows"] == one["found"]["rows"] > 100
    assert other["same"] and other["digest"] == one["digest"], "readers get the same rows of either form"
    assert "as published" in verify(environ, stack, str(merged))
    with closing(engine.services.cluster.raw(f"{stack}__mat{merged}")) as connection:
        connection.set_session(readonly=False)
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE synapses SET size = size + 1 WHERE id = (SELECT min(id) FROM synapses)")
    assert "PUBLISHED WERE" in verify(environ, stack, str(merged), code=1)
    (touched,) = verify(environ, stack, str(merged), "--json", code=1)
    assert not touched["same"] and touched["rows"] == touched["found"]["rows"]
    assert "there is no version 99" in verify(environ, stack, "99", code=2)


def test_the_citation_stays_when_the_database_is_gone(engine: Engine, environ: dict[str, str], stack: str) -> None:
    version = engine.run(RunKind.FREEZE, stack, as_of=BIRTH).version
    (table,) = verify(environ, stack, str(version), "--json")
    app = create_app(replace(engine.services.settings, auth_disabled=True))
    path = f"/materialize/api/v3/datastack/{stack}/version/{version}/citation"
    try:
        before = app.test_client().get(path).text
        assert f"{table['rows']} rows, sha256-sum {table['digest']}" in before and __version__ in before
        dropped = CliRunner().invoke(main, ["versions", stack, str(version), "--drop"], env=environ)
        assert dropped.exit_code == 0, dropped.output
        assert app.test_client().get(path).text == before
    finally:
        parts(app).close()
    assert "its citation is all that is left" in verify(environ, stack, str(version), code=2)
