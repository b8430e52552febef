"""A proxy between the engine and its neighbors, over HTTP, that spoils what it is told to spoil."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import numpy as np
import requests

PAGE = b"<html><body>Service temporarily in another room</body></html>"
_DROPPED = {"transfer-encoding", "content-length", "connection", "content-encoding", "date", "server"}


@dataclass
class Spoil:
    """What is done to requests of one graph: `how`, and to how many of them (None: all)."""

    table: str
    how: str
    count: int | None = None
    seconds: float = 0.0
    met: int = 0

    def takes(self, path: str) -> bool:
        """Whether this request is spoiled; counts it."""
        asked = f"/table/{self.table}/" in path and ("roots" in path)
        if not asked or (self.count is not None and self.met >= self.count):
            return False
        self.met += 1
        return True


class FaultProxy:
    """A running proxy; `spoil` is what it does to requests for roots now."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.spoil: Spoil | None = None
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def takes(self, path: str) -> Spoil | None:
        """The spoil that this request falls into."""
        now = self.spoil
        return now if now is not None and now.takes(path) else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is part of the tests."""


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            spoil = proxy.takes(self.path)
            if spoil is not None and spoil.how == "status":
                return self._say(503, b"", {})
            if spoil is not None and spoil.how == "page":
                return self._say(200, PAGE, {"Content-Type": "text/html"})
            if spoil is not None and spoil.how in ("slow", "hang"):
                time.sleep(spoil.seconds)
            if spoil is not None and spoil.how == "hang":
                self.close_connection = True
                return None
            kept = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "accept-encoding")}
            answer = requests.request(
                self.command, proxy.target + self.path, data=body, headers=kept, timeout=60, allow_redirects=False
            )
            content = answer.content if spoil is None else _spoiled(answer.content, spoil.how)
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in _DROPPED}
            return self._say(answer.status_code, content, headers)

        def _say(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

        def log_message(self, *args: object) -> None:
            """Nothing on stderr."""

    return Handler


def _spoiled(content: bytes, how: str) -> bytes:
    if how == "short":
        return content[:-8]
    if how == "wrong":
        # Ids that are roots, but of other supervoxels: no check of their form can find them out.
        return np.roll(np.frombuffer(content, np.int64), 1).tobytes() if len(content) % 8 == 0 else content
    return content
