"""What a running service takes up without a restart, and what it refuses for its size."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask
from werkzeug.serving import make_server

from materializationengine.kernel.redis import PrivateRedis
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.harness import Engine


@pytest.fixture
def app(engine: Engine, redis: PrivateRedis) -> Iterator[Flask]:
    made = create_app(replace(engine.services.settings, auth_disabled=True, redis_url=redis.url, largest_body=0.1))
    yield made
    parts(made).close()


def test_a_new_datastack_needs_no_restart(app: Flask, engine: Engine, small_world: Path, datastack: str) -> None:
    client = app.test_client()
    path = f"/materialize/api/v3/datastack/{datastack}/versions"
    assert client.get(path).status_code == 404
    assert client.get(f"/annotation/api/v2/aligned_volume/{datastack}_volume/table").status_code == 404
    engine.load(small_world, datastack)
    assert client.get(path).status_code == 200
    assert client.get(f"/annotation/api/v2/aligned_volume/{datastack}_volume/table").status_code == 200
    assert datastack in client.get("/health").json["datastacks"]


@pytest.fixture
def server(app: Flask) -> Iterator[str]:
    made = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()
    thread.join()


def test_a_request_that_is_too_large_is_refused(app: Flask) -> None:
    client = app.test_client()
    path = "/materialize/api/v3/runs"
    assert client.post(path, data=b'"' + b"x" * 100_001, content_type="application/json").status_code == 413
    told = client.post(path, data=b'"' + b"x" * 99_000 + b'"', content_type="application/json")
    assert told.status_code in (400, 422) and told.json["request_id"]


def test_a_length_that_is_only_claimed_is_refused_before_it_is_read(server: str) -> None:
    with socket.create_connection((urlsplit(server).hostname, urlsplit(server).port), timeout=10) as wire:
        wire.sendall(
            b"POST /materialize/api/v3/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10000000000\r\n\r\n{"
        )
        assert b" 413 " in wire.recv(200)
    assert requests.get(f"{server}/health/live", timeout=10).status_code == 200
