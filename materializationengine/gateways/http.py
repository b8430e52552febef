"""One way to ask a neighbor over HTTP: token, timeout, patience for reads, and errors that name the culprit.

Only reads go through here. Edits of a segmentation are not idempotent and must never be repeated; the engine
makes none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import InvalidHeader, MaxRetryError, ReadTimeoutError, ResponseError
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from ..domain.errors import GatewayAnswer, GatewayRefused, GatewayUnavailable
from ..kernel import trace

RETRIED = frozenset({429, 502, 503, 504})
"""Statuses that patience may mend. 500 is not one: the chunkedgraph says it of ids it doesn't know."""

LONGEST_PAUSE = 30.0
"""Seconds: a neighbor that asks to be left alone for longer is reported as down, with its own Retry-After."""

CONNECT_TIMEOUT = 10.0


class _Patience(Retry):
    """urllib3's retries, except that a long Retry-After ends them instead of blocking a worker."""

    def increment(  # type: ignore[override]
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Retry:
        if response is not None and self._asked_pause(response) > LONGEST_PAUSE:
            later = ResponseError("asked to come back much later")
            raise MaxRetryError(None, url or "", later)  # type: ignore[arg-type]
        return super().increment(method, url, response, *args, **kwargs)

    def _asked_pause(self, response: BaseHTTPResponse) -> float:
        try:
            return self.get_retry_after(response) or 0.0
        except InvalidHeader:
            return 0.0


Token = str | Callable[[], str | None] | None
"""A token, or where to ask for the one that holds now."""


def held(token: Token) -> str | None:
    """The token that holds now."""
    return token() if callable(token) else token


class _Token(AuthBase):
    """Sends the token as header and cookie, as CAVE services expect, and keeps a `.netrc` from interfering."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
            request.headers["Cookie"] = f"middle_auth_token={self._token}"
        return request


def make_session(retries: int = 3, backoff: float = 0.3) -> requests.Session:
    """A session that repeats a request, GET or POST, after a lost connection or a status in `RETRIED`."""
    patience = _Patience(
        total=retries,
        read=min(retries, 1),  # a read that timed out has cost the whole timeout already
        backoff_factor=backoff,
        backoff_jitter=backoff,
        status_forcelist=RETRIED,
        allowed_methods=None,
        raise_on_status=False,
    )
    session = requests.Session()
    adapter = HTTPAdapter(pool_maxsize=16, max_retries=patience)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


class HttpService:
    """One neighbor. The session is made at the first call of each process, so an instance survives a fork.

    Parameters: `name` as people call the service, `server` its base URL, `timeout` seconds without a byte;
    `observe` is told of each call: `ok`, `refused` or `down`, and its seconds.
    """

    def __init__(
        self,
        name: str,
        server: str,
        token: Token = None,
        *,
        timeout: float = 60.0,
        retries: int = 3,
        backoff: float = 0.3,
        observe: Callable[[str, float], None] | None = None,
    ) -> None:
        self.name = name
        self.server = server.rstrip("/")
        self._token = token
        self._timeout = (min(CONNECT_TIMEOUT, timeout), timeout)
        self._retries = retries
        self._backoff = backoff
        self._observe = observe or _unobserved
        self._made: tuple[int, requests.Session] | None = None

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        payload: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> requests.Response:
        """The answer, its status 2xx. `token` replaces the service's own for this call.

        Raises GatewayUnavailable (no connection, 5xx, 429) and GatewayRefused (3xx, 4xx); `details["status"]`
        holds the status.
        """
        started, outcome = time.monotonic(), "down"
        try:
            response = self._answer(method, self.server + path, params, payload, body, headers, token)
            outcome = "ok"
        except GatewayRefused:
            outcome = "refused"
            raise
        finally:
            self._observe(outcome, time.monotonic() - started)
        return response

    def _answer(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        payload: object,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        token: str | None,
    ) -> requests.Response:
        try:
            response = self._session().request(
                method,
                url,
                params=params,
                json=payload,
                data=body,
                headers={**trace.headers(), **(headers or {})},
                auth=_Token(token or held(self._token)),
                timeout=self._timeout,
                allow_redirects=False,  # it would lead to a login page, and carry the token elsewhere
            )
        except requests.RequestException as error:
            raise self._unreachable(url, error) from error
        self._check(url, response)
        return response

    def json(self, method: str, path: str, **kwargs: Any) -> Any:
        """`call`, and the JSON document in its answer; whole numbers become Python ints, which are exact."""
        response = self.call(method, path, **kwargs)
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise GatewayAnswer(f"{self.name} at {_bare(self.server + path)} did not answer with JSON") from error

    def _session(self) -> requests.Session:
        made = self._made
        if made is None or made[0] != os.getpid():
            made = self._made = (os.getpid(), make_session(self._retries, self._backoff))
        return made[1]

    def _unreachable(self, url: str, error: requests.RequestException) -> GatewayUnavailable:
        cause = f"no answer within {self._timeout[1]:g} s" if _timed_out(error) else "no connection"
        return GatewayUnavailable(f"{self.name} at {_bare(url)} is down: {cause}", service=self.name)

    def _check(self, url: str, response: requests.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        said = f"{self.name} at {_bare(url)} answered {status}{_reason(response)}"
        if status >= 500 or status == 429:
            raise GatewayUnavailable(said, retry_after=_retry_after(response), service=self.name, status=status)
        if status < 400:
            said += "; it redirects to a login page, so the token is missing or has expired"
        raise GatewayRefused(said, service=self.name, status=status)


def _unobserved(outcome: str, seconds: float) -> None:
    """Nobody counts."""


def _timed_out(error: requests.RequestException) -> bool:
    """Whether a read took too long; after retries requests calls that a lost connection."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(error, requests.ReadTimeout) or isinstance(cause, ReadTimeoutError)


def _bare(url: str) -> str:
    """A URL fit for a message: no user, no password, no query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _reason(response: requests.Response) -> str:
    """What the service itself says of the failure, shortened."""
    try:
        document = response.json()
    except requests.JSONDecodeError:
        text = "" if "<" in response.text[:20] else response.text
    else:
        text = str(document.get("message") or document.get("error") or "") if isinstance(document, dict) else ""
    text = " ".join(text.split())[:200]
    return f" ({text})" if text else ""


def _retry_after(response: requests.Response) -> float:
    """Seconds from Retry-After, if it holds a number; a date or nonsense counts as the default."""
    try:
        return max(0.0, float(response.headers.get("Retry-After", "30")))
    except ValueError:
        return 30.0
