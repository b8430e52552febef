"""Failed runs are told once each, and told again where the first try did not get through."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from materializationengine.bootstrap import Services
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.storage.ledger import Message
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.notices import tell_failures
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine


@dataclass
class Channel:
    """What was posted, and what to answer."""

    url: str
    texts: list[str] = field(default_factory=list)
    answer: int = 200


@pytest.fixture
def channel() -> Iterator[Channel]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(found.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found = Channel(f"http://127.0.0.1:{server.server_port}/secret")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def told(engine: Engine, channel: Channel) -> Iterator[Engine]:
    services = Services(replace(engine.services.settings, slack_webhook=channel.url), "tests")
    # Failures of other tests on the home database are nobody's concern here.
    tell_failures(services)
    channel.texts.clear()
    yield Engine(services, engine.neighbors)
    services.close()


def fail(engine: Engine) -> str:
    """A run with a unit that cannot be read."""
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.DUMMY, seconds=(0.0,)), queue)
    with engine.services.cluster.connect() as connection:
        connection.execute("UPDATE matengine.unit SET args = '{}' WHERE run_id = $1", record.id)
        connection.commit()
    engine.drain(queue)
    assert find_run(engine.services.cluster, record.id).status is RunStatus.FAILED
    return record.id


def test_a_failure_is_told_once_with_its_reason(told: Engine, channel: Channel) -> None:
    run_id = fail(told)
    tell_failures(told.services)
    assert len(channel.texts) == 1
    assert run_id in channel.texts[0] and "dummy" in channel.texts[0]


def test_a_notice_that_did_not_get_through_is_tried_again(told: Engine, channel: Channel) -> None:
    channel.answer = 503
    run_id = fail(told)
    channel.answer = 200
    assert tell_failures(told.services) == 1
    assert tell_failures(told.services) == 0
    assert sum(run_id in text for text in channel.texts) == 2


def test_a_run_that_succeeds_tells_nobody(told: Engine, channel: Channel) -> None:
    told.run(RunKind.DUMMY, seconds=(0.0,))
    tell_failures(told.services)
    assert channel.texts == []
