"""Requests passed on to local CAVE as they are: any method, raw bodies, bodies of GETs included.

Nothing is retried here, since edits of a segmentation are among what passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import requests
from requests.adapters import HTTPAdapter

from ..domain.errors import GatewayUnavailable

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to one connection and end with it."""

_OURS = HOP_BY_HOP | {"host", "content-length"}
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A neighbor's answer, its body still encoded as the neighbor sent it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: Iterator[bytes]


class Forwarder:
    """The way to one neighbor, over pooled connections."""

    def __init__(self, server: str, *, timeout: float = 120.0) -> None:
        self._server, self._timeout = server.rstrip("/"), timeout
        self._session = requests.Session()
        self._session.trust_env = False
        # What a caller did not send, the neighbor must not see.
        self._session.headers.clear()
        self._session.mount("http://", HTTPAdapter(pool_maxsize=32, max_retries=0))

    def forward(self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> Forwarded:
        """Send a request on; `path` starts with / and holds the query. Raises GatewayUnavailable."""
        kept = {name: value for name, value in headers if name.lower() not in _OURS}
        # requests leaves no header out of its own accord unless it is None.
        kept.setdefault("Accept-Encoding", "identity")
        try:
            answer = self._session.request(
                method,
                self._server + path,
                headers=kept,
                data=body or None,
                stream=True,
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise GatewayUnavailable(
                "local CAVE gives no answer; see its log", retry_after=2.0, service="local CAVE"
            ) from error
        passed = tuple((k, v) for k, v in answer.raw.headers.items() if k.lower() not in HOP_BY_HOP)
        return Forwarded(answer.status_code, passed, _body(answer))


def _body(answer: requests.Response) -> Iterator[bytes]:
    with answer:
        yield from answer.raw.stream(_CHUNK, decode_content=False)
