"""How often one user may ask: by category, shared over processes, and by a stated rule while Redis is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from materializationengine.config import Settings
from materializationengine.domain.errors import ConfigurationError, TooManyRequests
from materializationengine.gateways.auth import User
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.web import rates
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from materializationengine.web.rates import Counter, Rates

from . import frozen

pytestmark = pytest.mark.usefixtures("rows")
STACK = f"/materialize/api/v3/datastack/{frozen.DATASTACK}"
QUERY = f"{STACK}/version/1/table/marks/query"
PEOPLE = {
    "ada": User(1, permissions={"d": frozenset({"view"})}),
    "bot": User(2, service_account=True, permissions={"d": frozenset({"view"})}),
}
Make = Callable[..., Flask]


class Everybody:
    """Lets PEOPLE view everything."""

    def user(self, token: str | None) -> User:
        return PEOPLE[token or ""]

    def require(self, token: str | None, *_: str) -> User:
        return self.user(token)


@pytest.fixture
def make(settings: Settings, redis: PrivateRedis, request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Flask] = []

    def create(url: str = "", **limits: dict[str, str]) -> Flask:
        texts = {f"limiter_{name}": json.dumps(value) for name, value in limits.items()}
        # Every test counts in a database of its own, so that none begins with what another has used up.
        home = url or f"{redis.url.rsplit('/', 1)[0]}/{hash(request.node.name) % 15 + 1}"
        made.append(create_app(replace(settings, limiter_uri=home, **texts)))
        parts(made[-1]).auth = Everybody()  # type: ignore[assignment]
        return made[-1]

    yield create
    for app in made:
        parts(app).close()


def ask(app: Flask, who: str, path: str = QUERY) -> TestResponse:
    client, headers = app.test_client(), {"Authorization": f"Bearer {who}"}
    return (
        client.post(path, json={}, headers=headers, buffered=True)
        if path == QUERY
        else client.get(path, headers=headers)
    )


def test_whoever_asks_too_often_is_told_when_to_come_back(make: Make) -> None:
    app = make(categories={"query": "3/minute", "fast_query": "1/hour"})
    assert [ask(app, "ada").status_code for _ in range(3)] == [200] * 3
    refused = ask(app, "ada")
    assert (refused.status_code, refused.json["error"]) == (429, "too_many_requests")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert "3 per 1 minute" in refused.json["message"]
    assert ask(app, "bot").status_code == 200, "another user is another count"
    assert ask(app, "ada", f"{STACK}/versions").status_code == 200, "another endpoint is another count"
    assert ask(app, "ada", f"{STACK}/versions").status_code == 429
    v2 = ask(app, "ada", f"{STACK}/versions".replace("v3", "v2"))
    assert v2.status_code == 429, "both generations of an endpoint are one"


def test_after_the_time_told_the_door_is_open_again(make: Make) -> None:
    app = make(categories={"query": "1/second"})
    assert [ask(app, "ada").status_code for _ in range(2)] == [200, 429]
    time.sleep(1.1)
    assert ask(app, "ada").status_code == 200


def test_all_processes_count_together(make: Make) -> None:
    first, second = (make(categories={"query": "2/minute"}) for _ in range(2))
    assert [ask(app, "ada").status_code for app in (first, second, first, second)] == [200, 200, 429, 429]


def test_service_accounts_have_limits_of_their_own(make: Make) -> None:
    app = make(
        categories={"query": "1/minute", "fast_query": "1/minute"},
        service_account_categories={"query": "2/minute"},
        service_account_overrides={"list_versions": "3/minute", "LiveTableQuery": "9/minute"},
    )
    assert [ask(app, "bot").status_code for _ in range(3)] == [200, 200, 429]
    assert [ask(app, "bot", f"{STACK}/versions").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [ask(app, "bot", f"{STACK}/metadata").status_code for _ in range(2)] == [200, 429], "as a person"
    assert str(parts(app).rates.of("query", "query_moment", True)[0]) == "9 per 1 minute"


def test_health_and_versions_are_never_counted(make: Make) -> None:
    app = make(categories={"fast_query": "1/hour", "query": "1/hour"})
    for path in ("/health/live", "/materialize/version", "/materialize/api/openapi.json"):
        assert [ask(app, "ada", path).status_code for _ in range(3)] == [200] * 3


def test_without_limits_nothing_is_asked_of_redis(make: Make) -> None:
    app = make("redis://127.0.0.1:1/0")
    parts(app).counter = None  # type: ignore[assignment]
    assert ask(app, "ada").status_code == 200


def test_while_redis_is_away_each_process_counts_alone_and_fast(make: Make) -> None:
    first, second = (make("redis://127.0.0.1:1/0", categories={"query": "2/minute"}) for _ in range(2))
    started = time.monotonic()
    assert [ask(app, "ada").status_code for app in (first, first, second, first, second)] == [200, 200, 200, 429, 200]
    assert time.monotonic() - started < 5


def test_redis_is_asked_again_when_it_may_be_back(redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    (limit,) = rates.parse_many("1/minute")
    counter = Counter(f"{redis.url.rsplit('/', 1)[0]}/14")
    shared, counter._shared = counter._shared, Counter("redis://127.0.0.1:1/0")._shared
    counter.count((limit,), 7, "x")
    with pytest.raises(TooManyRequests):
        counter.count((limit,), 7, "x")
    counter._shared = shared
    with pytest.raises(TooManyRequests):
        counter.count((limit,), 7, "x")
    monkeypatch.setattr(counter, "_back", 0.0)
    counter.count((limit,), 7, "x")
    with pytest.raises(TooManyRequests):
        counter.count((limit,), 7, "x")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{", "JSON"),
        ("[]", "JSON"),
        ('{"query": "often"}', "30/minute"),
        ('{"queri": "1/minute"}', "fast_query"),
        ('{"query": 5}', "30"),
    ],
)
def test_limits_that_cannot_be_are_refused_at_the_start(settings: Settings, text: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        Rates.read(replace(settings, limiter_categories=text))


def test_the_names_of_cave_are_read_from_the_environment() -> None:
    environ: dict[str, Any] = {
        "LIMITER_CATEGORIES": '{"query": "500/minute", "fast_query": "2000/minute"}',
        "LIMITER_SERVICE_ACCOUNT_CATEGORIES": '{"query": "600/minute"}',
        "LIMITER_SERVICE_ACCOUNT_OVERRIDES": '{"LiveTableQuery": "50/second"}',
        "LIMITER_URI": "memory://",
    }
    settings = Settings.from_env(environ)
    assert settings.limiter == "memory://"
    assert {name: str(limits[0]) for name, limits in Rates.read(settings).people.items()} == {
        "query": "500 per 1 minute",
        "fast_query": "2000 per 1 minute",
    }
