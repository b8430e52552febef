"""The common manners towards neighbors: tokens, patience, and errors that name the culprit."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from materializationengine.domain.errors import GatewayAnswer, GatewayRefused, GatewayUnavailable
from materializationengine.gateways.http import HttpService

from .servers import Answer, Request

TOKEN = "0123456789abcdef"
BUSY = Answer(503, b"busy")


def ok(request: Request) -> Answer:
    return Answer.of({"id": 864691135850649637, "method": request.method, "body": request.body.decode()})


def service(url: str, **options: object) -> HttpService:
    return HttpService("chunkedgraph", url, TOKEN, **{"backoff": 0.01, **options})


def test_token_goes_as_header_and_cookie(serve):
    server = serve(ok)
    service(server.url).call("GET", "/a")
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.requests[0].headers["cookie"] == f"middle_auth_token={TOKEN}"


def test_a_users_token_replaces_the_services(serve):
    server = serve(ok)
    service(server.url).call("GET", "/a", token="theirs")
    assert server.requests[0].headers["authorization"] == "Bearer theirs"


def test_no_token_and_no_netrc(serve, tmp_path: Path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(ok)
    HttpService("info service", server.url).call("GET", "/a")
    assert "authorization" not in server.requests[0].headers
    assert "cookie" not in server.requests[0].headers


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_reads_are_repeated(serve, method, status):
    server = serve(ok)
    server.faults.extend([Answer(status), Answer(status)])
    answer = service(server.url).json(method, "/a", body=b"12345678")
    assert (answer["method"], answer["body"], len(server.requests)) == (method, "12345678", 3)


def test_a_cut_connection_is_repeated(serve):
    server = serve(ok)
    server.faults.append(Answer(0))
    assert service(server.url).json("GET", "/a")["id"] == 864691135850649637


def test_a_body_cut_off_is_an_error(serve):
    server = serve(ok)
    server.always = Answer(200, b"1234", promised=8)
    with pytest.raises(GatewayUnavailable):
        service(server.url).call("GET", "/a")


def test_a_short_retry_after_is_waited_for(serve):
    server = serve(ok)
    server.faults.append(Answer(503, b"", {"Retry-After": "1"}))
    start = time.monotonic()
    service(server.url).call("GET", "/a")
    assert time.monotonic() - start >= 1.0


def test_a_long_retry_after_is_reported_at_once(serve):
    server = serve(ok)
    server.always = Answer(503, b"", {"Retry-After": "600"})
    start = time.monotonic()
    with pytest.raises(GatewayUnavailable) as caught:
        service(server.url).call("GET", "/a")
    assert time.monotonic() - start < 5
    assert caught.value.retry_after == 600
    assert len(server.requests) == 1


def test_patience_ends(serve):
    server = serve(ok)
    server.always = BUSY
    with pytest.raises(GatewayUnavailable) as caught:
        service(server.url, retries=2).call("GET", "/a", params={"q": "1"})
    assert len(server.requests) == 3
    assert caught.value.message == f"chunkedgraph at {server.url}/a answered 503 (busy)"
    assert caught.value.retry_after == 30
    assert caught.value.details["status"] == 503


def test_500_is_not_repeated(serve):
    server = serve(lambda request: Answer.of({"message": "KeyError", "traceback": ["..."]}, 500))
    with pytest.raises(GatewayUnavailable, match=r"answered 500 \(KeyError\)$"):
        service(server.url).call("GET", "/a")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_repeated(serve, status):
    server = serve(lambda request: Answer.of({"message": "not you"}, status))
    with pytest.raises(GatewayRefused, match=rf"/a answered {status} \(not you\)") as caught:
        service(server.url).call("GET", "/a")
    assert caught.value.details["status"] == status
    assert len(server.requests) == 1


def test_a_redirect_takes_no_token_elsewhere(serve):
    other = serve(ok)
    server = serve(lambda request: Answer(302, b"", {"Location": other.url + "/login"}))
    with pytest.raises(GatewayRefused, match="login page"):
        service(server.url).call("GET", "/a")
    assert other.requests == []


def test_nobody_listens(closed_port):
    with pytest.raises(GatewayUnavailable, match=f"chunkedgraph at {closed_port}/a is down: no connection"):
        service(closed_port).call("GET", "/a")


def test_a_silent_server_times_out(serve):
    server = serve(lambda request: Answer(200, delay=30))
    with pytest.raises(GatewayUnavailable, match=r"no answer within 0\.2 s"):
        service(server.url, timeout=0.2, retries=0).call("GET", "/a")


def test_no_message_tells_a_secret(serve, closed_port):
    server = serve(lambda request: Answer.of({"message": "no"}, 403))
    for url in (server.url, closed_port):
        address = url.replace("http://", "http://someone:password@")
        with pytest.raises((GatewayRefused, GatewayUnavailable)) as caught:
            service(address).call("GET", "/a", params={"middle_auth_token": TOKEN})
        assert TOKEN not in caught.value.message
        assert "password" not in caught.value.message


def test_ids_in_json_stay_whole(serve):
    assert service(serve(ok).url).json("GET", "/a")["id"] == 864691135850649637


def test_no_json(serve):
    server = serve(lambda request: Answer(200, b"<html>"))
    with pytest.raises(GatewayAnswer, match="did not answer with JSON"):
        service(server.url).json("GET", "/a")


def _call_in_child(asked: HttpService) -> None:
    asked.call("GET", "/child")


def test_an_instance_survives_a_fork(serve):
    server = serve(ok)
    shared = service(server.url)
    shared.call("GET", "/parent")
    child = multiprocessing.get_context("fork").Process(target=_call_in_child, args=(shared,))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    shared.call("GET", "/parent")
    assert [r.path for r in server.requests] == ["/parent", "/child", "/parent"]
    parent, childs, again = (r.client_port for r in server.requests)
    assert parent == again, "the parent keeps its connection"
    assert childs != parent, "the child must not write into its parent's socket"
