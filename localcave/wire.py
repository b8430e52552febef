"""Reading requests the way the real services do: raw bodies whatever the method or type, moments as unix
seconds.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
from flask import request

from localcave import times
from localcave.errors import BadRequest, Unanswerable
from localcave.ids import Ids


def body() -> bytes:
    """Return the request's body, unpacked."""
    raw = request.get_data()
    if request.headers.get("Content-Encoding") != "gzip":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as problem:
        raise BadRequest(f"the body is not gzip: {problem}") from problem


def json_object() -> dict[str, Any]:
    """Return the body as a JSON object."""
    try:
        found = json.loads(body() or b"{}")
    except ValueError as problem:
        raise BadRequest(f"the body is no JSON: {problem}") from problem
    if not isinstance(found, dict):
        raise BadRequest("the body must be a JSON object")
    return found


def listed_ids(key: str) -> Ids:
    """Return the ids under a key of the JSON body; they may be numbers or text."""
    found = json_object().get(key)
    if not isinstance(found, list):
        raise BadRequest(f"the body needs a list of ids under {key!r}")
    try:
        return np.array([_identity(value) for value in found], np.uint64)
    except (OverflowError, ValueError, TypeError):
        raise BadRequest(f"{key!r} has something that is no 64-bit id") from None


def binary_ids() -> Ids:
    """Return the body as little-endian unsigned 64-bit ids."""
    raw = body()
    if len(raw) % 8:
        raise Unanswerable(f"a body of {len(raw)} bytes is no list of 64-bit ids")
    return np.frombuffer(raw, "<u8")


def moment(name: str = "timestamp", default: int | None = None) -> int:
    """Return a moment of the query string, now if it is absent and has no other default."""
    text = request.args.get(name)
    if text:
        return times.from_seconds(text)
    return times.now_ms() if default is None else default


def flag(name: str) -> bool:
    """Return a boolean of the query string."""
    text = request.args.get(name, "false").lower()
    if text not in ("true", "1", "false", "0"):
        raise BadRequest(f"{name} must be true or false")
    return text in ("true", "1")


def number(name: str) -> int | None:
    """Return a whole number of the query string."""
    text = request.args.get(name)
    try:
        return int(text) if text else None
    except ValueError:
        raise BadRequest(f"{name} {text!r} is no whole number") from None


def ids_out(ids: Ids | list[int]) -> list[int] | list[str]:
    """Return ids for JSON, as text for clients that cannot hold 64 bits."""
    plain = ids.tolist() if isinstance(ids, np.ndarray) else ids
    return [str(value) for value in plain] if flag("int64_as_str") else plain


def _identity(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(value)
    return int(value)
