"""`Idempotency-Key`: a request that comes twice does its deed once, and both get the same answer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TypeVar

from flask import g, request

from ..domain.errors import BadRequest
from ..kernel.columns import Connection
from ..storage import idempotency
from .auth import user
from .browsers import TOKEN

Answer = TypeVar("Answer")

HEADER, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
_KEY = re.compile(r"[!-~]{1,128}")


def once(connection: Connection, deed: Callable[[], Answer]) -> Answer:
    """What `deed` gives, or gave when the caller's key first came, within the caller's transaction."""
    answer, replayed = idempotency.once(connection, given_key(), deed)
    told(replayed)
    return answer


def given_key() -> idempotency.Key | None:
    """The request's key; None where it has none. Raises BadRequest for one that is no key."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise BadRequest(f"{HEADER}: between 1 and 128 visible ASCII characters", field=HEADER)
    return idempotency.Key(str(user().id), key, _digest())


def told(replayed: bool) -> None:
    """Let the answer say whether it is one of an earlier request."""
    if replayed:
        g.replayed = True


def _digest() -> str:
    """Of what is asked, whoever asks by whatever token."""
    arguments = sorted((name, value) for name, value in request.args.items(multi=True) if name != TOKEN)
    asked = repr((request.method, request.path, arguments)).encode()
    return hashlib.sha256(asked + request.get_data()).hexdigest()
