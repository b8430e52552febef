"""Which request, run and unit the work of this thread serves: the ids that join log lines, statements and calls.

They stand in structlog's context variables, so every log line carries them without being told.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from structlog.contextvars import bound_contextvars, clear_contextvars, get_contextvars

P = ParamSpec("P")
T = TypeVar("T")

REQUEST, RUN, UNIT = "request_id", "run_id", "unit_id"
HEADERS: Mapping[str, str] = {REQUEST: "X-Request-ID", RUN: "X-Run-ID", UNIT: "X-Unit-ID"}
"""Headers by which calls of neighbors carry the ids."""

LONGEST_NAME = 63
"""Bytes of `application_name` that PostgreSQL keeps."""

_GIVEN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SHOWN = 20
"""Signs of a request id in `application_name`: ours have 16, a caller's may have 64."""


def new_request_id() -> str:
    """Sixteen hexadecimal digits."""
    return secrets.token_hex(8)


def accepted(given: str) -> str:
    """A caller's own request id where it is fit for headers, logs and SQL; else a new one."""
    return given if _GIVEN.fullmatch(given) else new_request_id()


def request_id() -> str:
    """The id of the request that is served now, or ''."""
    return str(get_contextvars().get(REQUEST, ""))


@contextmanager
def serving(request: str = "", run: str = "", unit: int = 0) -> Iterator[None]:
    """Let everything inside carry these ids; what is left out stays as it was."""
    named = {REQUEST: request, RUN: run, UNIT: str(unit or "")}
    with bound_contextvars(**{name: value for name, value in named.items() if value}):
        yield


def forget() -> None:
    """Begin anew: a thread of a pool still has the ids of what it served last."""
    clear_contextvars()


def headers() -> dict[str, str]:
    """The ids as headers of a call."""
    known = get_contextvars()
    return {HEADERS[name]: str(known[name]) for name in HEADERS if known.get(name)}


_LETTERS = ((UNIT, "u"), (RUN, "r"), (REQUEST, "q"))


def application_name(base: str) -> str:
    """`base` with the ids behind it, none of them cut: it is `base` that gives way where both do not fit."""
    known = get_contextvars()
    tail = "".join(f" {letter}={str(known[name])[:_SHOWN]}" for name, letter in _LETTERS if known.get(name))
    return base.encode()[: LONGEST_NAME - len(tail)].decode(errors="ignore") + tail


class Threads(ThreadPoolExecutor):
    """A pool whose threads carry the ids of whoever gives them work."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it with the ids of this thread."""
        return super().submit(copy_context().run, partial(fn, *args, **kwargs))
