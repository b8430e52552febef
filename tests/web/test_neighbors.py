"""The neighbors' paths: whatever comes in goes on, whatever comes back comes out."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from materializationengine.config import Settings
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts


def send(
    base_url: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[Any, Any]:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=10)
    connection.request(method, path, body or None, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer, json.loads(text) if text else None


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_bodies_queries_and_headers_go_through(base_url: str, method: str) -> None:
    body = bytes(range(256)) * 10
    path = "/segmentation/api/v1/table/t/roots_binary?timestamp=1.5&a=%2F"
    answer, echo = send(base_url, method, path, body, {"Authorization": "Bearer x", "X-Odd": "1"})
    assert answer.status == 200 and answer.headers["X-Neighbor"] == "yes"
    assert (echo["method"], echo["path"], bytes.fromhex(echo["body"])) == (method, path, body)
    assert echo["headers"]["Authorization"] == "Bearer x" and echo["headers"]["X-Odd"] == "1"


def test_a_status_comes_back_as_it_is(base_url: str) -> None:
    assert send(base_url, "GET", "/info/teapot")[0].status == 418
    answer, _ = send(base_url, "HEAD", "/schema/versions")
    assert answer.status == 200


def test_a_neighbor_that_is_down_is_a_503(settings: Settings) -> None:
    app = create_app(replace(settings, localcave_url="http://127.0.0.1:1"))
    answer = app.test_client().get("/info/version")
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    parts(app).close()


def test_without_a_neighbor_its_paths_are_unknown(client: FlaskClient) -> None:
    assert client.get("/info/version").status_code == 404
