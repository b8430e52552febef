"""One line of JSON per event, from our own code and from libraries alike, with no secret in it."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any
from urllib.parse import quote

import structlog
from structlog.dev import plain_traceback
from structlog.typing import EventDict, Processor, WrappedLogger

from .urls import masked

STARS = "***"
SHORTEST_SECRET = 6
"""Signs: to strike out anything shorter would make logs unreadable and guess nothing."""

ASK_AGAIN = 1.0
"""Seconds after which the secrets are asked for again: some stand in files that may change."""

_TOKEN = re.compile(
    r"(?P<head>Bearer\s+|middle_auth_token(?:=|%3D)|[?&](?:token|access_token)=|hooks\.slack\.com/services/)"
    r"[\w.~+/=-]{6,}"
)


class Censor:
    """Strikes known secrets, passwords in addresses and tokens out of a text."""

    def __init__(self, secrets: Callable[[], Iterable[str]] = tuple) -> None:
        self._secrets = secrets
        self._read = -math.inf
        self._known: tuple[str, ...] = ()

    def __call__(self, text: str) -> str:
        """The text, fit for anybody's eyes."""
        if time.monotonic() - self._read >= ASK_AGAIN:
            self._read, self._known = time.monotonic(), tuple(_spellings(self._secrets()))
        for secret in self._known:
            text = text.replace(secret, STARS)
        return _TOKEN.sub(lambda found: found["head"] + STARS, masked(text))


def _spellings(secrets: Iterable[str]) -> Sequence[str]:
    """A secret as it stands, as an address and as Python writes it, each also as JSON has it; the longest first."""
    known = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
    plain = {spelling for one in known for spelling in (one, quote(one, safe=""), repr(one)[1:-1])}
    spelled = plain | {json.dumps(one, ensure_ascii=ascii_only)[1:-1] for one in plain for ascii_only in (True, False)}
    return sorted(spelled, key=len, reverse=True)


def configure(
    level: str, censor: Censor | None = None, *, stream: IO[str] | None = None, for_people: bool = False
) -> None:
    """Let structlog and the standard library write to `stream` (default: standard error) from `level` up."""
    least = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    line = _Line(censor or Censor(), for_people)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=line, foreign_pre_chain=_SHARED))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(least)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(least, logging.WARNING))
    # A server that has set up its loggers before us writes one form beside ours.
    for name in ("gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


class _Line:
    """The last processor: an event as one line."""

    def __init__(self, censor: Censor, for_people: bool) -> None:
        self._censor = censor
        plain = structlog.dev.ConsoleRenderer(colors=False, timestamp_key="time", exception_formatter=plain_traceback)
        json_line = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        self._write: Processor = plain if for_people else json_line

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        for private in ("_record", "_from_structlog"):
            event.pop(private, None)
        return self._censor(str(self._write(logger, method, event)))


def _first(_: Any, __: str, event: EventDict) -> EventDict:
    """The moment and the event before everything else, where eyes look for them."""
    return {"time": event.pop("time"), "event": event.pop("event"), **event}


_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    structlog.processors.format_exc_info,
    _first,
)
_CHATTY = ("urllib3", "kombu", "amqp", "celery.utils.functional", "alembic", "asyncio", "fsspec", "gcsfs")
