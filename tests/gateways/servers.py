"""Small HTTP servers on loopback, with switches for faults."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What a client sent. `path` is decoded; `query` holds the last value of each parameter."""

    method: str
    path: str
    raw_path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    client_port: int

    def json(self) -> dict:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What to send back. `promised` lies about the length, to cut the body off; status 0 hangs up."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    delay: float = 0.0

    @classmethod
    def of(cls, document: object, status: int = 200, **headers: str) -> Answer:
        return cls(status, json.dumps(document).encode(), {"Content-Type": "application/json", **headers})


class Loopback:
    """A running server. `faults` are given first, one a request; `requests` remembers all."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.answer = answer
        self.faults: deque[Answer] = deque()
        self.always: Answer | None = None
        self.requests: list[Request] = []
        self.url = ""
        self.released = threading.Event()

    def respond(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.faults:
            return self.faults.popleft()
        return self.always or self.answer(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is part of some tests."""


def _handler(loopback: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {k.lower(): v for k, v in self.headers.items()}
            answer = loopback.respond(
                Request(
                    self.command,
                    unquote(parts.path),
                    parts.path,
                    query,
                    headers,
                    body,
                    self.client_address[1],
                )
            )
            if answer.status == 0:
                self.close_connection = True
                return
            if answer.delay:
                loopback.released.wait(answer.delay)
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            length = len(answer.body) if answer.promised is None else answer.promised
            self.send_header("Content-Length", str(length))
            self._headers_buffer.append(b"\r\n" + answer.body)
            self.flush_headers()
            if answer.promised is not None:
                self.close_connection = True

        do_GET = do_POST = do_HEAD = _serve  # noqa: N815 - the names that http.server calls

        def log_message(self, *args: object) -> None:
            """Nothing on stderr."""

    return Handler


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[Loopback]:
    """A server on a free port of 127.0.0.1 for the time of the block."""
    loopback = Loopback(answer)
    server = _Server(("127.0.0.1", 0), _handler(loopback))
    loopback.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield loopback
    finally:
        loopback.released.set()
        server.shutdown()
        server.server_close()


def ranged(content: bytes, header: str | None) -> Answer:
    """A whole file, or the part that a Range header asks for."""
    if header is None:
        return Answer(200, content)
    first, _, last = header.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, len(content) - int(last))
    stop = min(int(last) + 1 if first and last else len(content), len(content))
    if start >= len(content):
        return Answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
    return Answer(206, content[start:stop], {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"})


def files_of(root: Path) -> Callable[[Request], Answer]:
    """Static files with ranges."""

    def answer(request: Request) -> Answer:
        path = root / request.path.lstrip("/")
        return ranged(path.read_bytes(), request.headers.get("range")) if path.is_file() else Answer(404)

    return answer


@dataclass
class GoogleStorage:
    """The JSON interface of Google Cloud Storage over one bucket: list, metadata, ranged media, tokens."""

    bucket: str
    root: Path
    wanted_token: str | None = None
    page: int = 2

    def __call__(self, request: Request) -> Answer:
        if request.path == "/token":
            return Answer.of({"access_token": self.wanted_token, "expires_in": 3600, "token_type": "Bearer"})
        if self.wanted_token and request.headers.get("authorization") != f"Bearer {self.wanted_token}":
            return google_error(401, "Invalid Credentials")
        for prefix in ("/storage/v1/b/", "/download/storage/v1/b/"):
            if request.raw_path.startswith(prefix):
                bucket, _, name = request.raw_path.removeprefix(prefix).partition("/o")
                return self._object(bucket, unquote(name.lstrip("/")), request)
        return google_error(404, "Not Found")

    def _object(self, bucket: str, name: str, request: Request) -> Answer:
        if bucket != self.bucket:
            return google_error(404, "The specified bucket does not exist.")
        if not name:
            return self._list(request.query)
        path = self.root / name
        if not path.is_file():
            return google_error(404, f"No such object: {bucket}/{name}")
        if request.query.get("alt") == "media" or request.path.startswith("/download"):
            return ranged(path.read_bytes(), request.headers.get("range"))
        return Answer.of(self._metadata(name))

    def _list(self, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        names = [p.relative_to(self.root).as_posix() for p in sorted(self.root.rglob("*")) if p.is_file()]
        names = [n for n in names if n.startswith(prefix)]
        folders = sorted({_folder(n, prefix) for n in names if delimiter and delimiter in n[len(prefix) :]})
        plain = [n for n in names if not (delimiter and delimiter in n[len(prefix) :])]
        start = int(query.get("pageToken", "0"))
        document: dict[str, object] = {"kind": "storage#objects", "prefixes": folders if start == 0 else []}
        document["items"] = [self._metadata(n) for n in plain[start : start + self.page]]
        if start + self.page < len(plain):
            document["nextPageToken"] = str(start + self.page)
        return Answer.of(document)

    def _metadata(self, name: str) -> dict[str, str]:
        size = (self.root / name).stat().st_size
        return {"bucket": self.bucket, "name": name, "size": str(size), "generation": "1"}


def google_error(status: int, message: str) -> Answer:
    """An error as Google words it."""
    return Answer.of({"error": {"code": status, "message": message}}, status)


def _folder(name: str, prefix: str) -> str:
    return prefix + name[len(prefix) :].partition("/")[0] + "/"
