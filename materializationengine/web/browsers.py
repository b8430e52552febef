"""People who come with a browser, not a program: they are led to the login and to terms instead of being refused.

Programs name themselves by `Authorization`, `X-Requested-With` or `Origin`, or ask for something else than a page; they
are never redirected, since CAVE's clients take a redirect for a refusal.
"""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, redirect, request

from ..domain.errors import NotLoggedIn
from .parts import parts

TOKEN = "middle_auth_token"  # nosec B105 # its name, not its value
"""Argument and cookie that hold a token."""

_PROGRAMS = ("Authorization", "X-Requested-With", "Origin")


def init_app(app: Flask) -> None:
    """Let a token that comes in an address be moved out of it."""
    app.before_request(_remember)


def is_person() -> bool:
    """Whether a person looks at the answer."""
    asks_for_page = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
    return asks_for_page and not any(name in request.headers for name in _PROGRAMS)


def login_page() -> str:
    """Where a browser gets a token."""
    return f"{parts().settings.login_server}/auth/api/v1/authorize"


def to_login() -> Response:
    """The way to the login, and back here."""
    return _redirect(f"{login_page()}?{urlencode({'redirect': request.url})}")


def to_terms(form: str) -> Response:
    """The way to terms of service that wait to be accepted, and back here."""
    return _redirect(f"{form}?{urlencode({'redirect': request.url})}")


def from_here() -> bool:
    """Whether a cookie may be believed: a browser sends it with what pages of other hosts make it write, too."""
    origin = request.headers.get("Origin")
    return request.method in ("GET", "HEAD", "OPTIONS") or origin is None or urlsplit(origin).netloc == request.host


def _remember() -> Response | None:
    """Put the token of an address into a cookie: an address stays in histories and logs."""
    held = request.args.get(TOKEN)
    if not held or not is_person():
        return None
    try:
        parts().auth.user(held)
    except NotLoggedIn:
        return None
    kept = [(name, value) for name, value in request.args.items(multi=True) if name != TOKEN]
    answer = _redirect(request.base_url + (f"?{urlencode(kept)}" if kept else ""))
    answer.set_cookie(TOKEN, held, httponly=True, secure=request.is_secure, samesite="Lax")
    return answer


def _redirect(address: str) -> Response:
    answer = redirect(address)
    assert isinstance(answer, Response)
    answer.headers["Cache-Control"] = "no-store"
    return answer
