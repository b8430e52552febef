"""Reading requests the way the real services do: raw bodies whatever the method or type, moments as unix
seconds.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from flask import Response, request

from localcave import times
from localcave.errors import BadRequest, Unanswerable
from localcave.ids import Ids
from localcave.points import Mark

JSON = "application/json"
FARTHEST_NM = 1e12


def body() -> bytes:
    """Return the request's body, unpacked."""
    raw = request.get_data()
    if request.headers.get("Content-Encoding") != "gzip":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as problem:
        raise BadRequest(f"the body is not gzip: {problem}") from problem


def document() -> Any:
    """Return the body as JSON; an empty one is an empty object."""
    try:
        return json.loads(body() or b"{}")
    except (ValueError, RecursionError) as problem:
        raise BadRequest(f"the body is no JSON: {problem}") from problem


def json_object() -> dict[str, Any]:
    """Return the body as a JSON object."""
    found = document()
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


def number(name: str) -> int | None:
    """Return a whole number of the query string."""
    text = request.args.get(name)
    try:
        return int(text) if text else None
    except ValueError:
        raise BadRequest(f"{name} {text!r} is no whole number") from None


def moment(name: str) -> int | None:
    """Return a moment of the query string, if it is there."""
    text = request.args.get(name)
    return times.from_seconds(text) if text else None


def bounds() -> npt.NDArray[np.int64] | None:
    """Return the box of the query string, `x0-x1_y0-y1_z0-z1` in voxels, as (3, 2), if it is there."""
    text = request.args.get("bounds")
    if not text:
        return None
    found = re.fullmatch(r"(\d+)-(\d+)_(\d+)-(\d+)_(\d+)-(\d+)", text)
    if not found:
        raise BadRequest(f"bounds {text!r} must look like 0-100_0-100_0-100")
    return np.array([int(part[:12]) for part in found.groups()]).reshape(3, 2)


def marks(points: object) -> list[Mark]:
    """Return marked points from JSON: a list of [id, x, y, z] in nanometers."""
    if not isinstance(points, list):
        raise BadRequest("points must be a list of [id, x, y, z]")
    return [_mark(point) for point in points]


def _mark(point: Any) -> Mark:
    try:
        identity, *place = point
        x, y, z = (float(along) for along in place)
        number = _identity(identity)
    except (TypeError, ValueError):
        raise BadRequest(f"{point!r} is no point: it must be [id, x, y, z] in nanometers") from None
    if not all(abs(along) < FARTHEST_NM for along in (x, y, z)) or not 0 < number < 1 << 64:
        raise BadRequest(f"{point!r} is no point: its id must be above 0 and below 2**64, its place finite")
    return Mark(number, (x, y, z))


def flag(name: str, default: bool = False) -> bool:
    """Return a boolean of the query string."""
    text = request.args.get(name, str(default)).lower()
    if text not in ("true", "1", "false", "0"):
        raise BadRequest(f"{name} must be true or false")
    return text in ("true", "1")


def reply(payload: object) -> Response:
    """Return JSON; 64-bit ids, which are numpy's, as text for a client that asks so."""
    return Response(json.dumps(payload, default=_as_text if flag("int64_as_str") else _as_number), mimetype=JSON)


def binary(ids: Ids) -> Response:
    """Return ids as little-endian 64-bit integers."""
    return Response(ids.astype("<u8", copy=False).tobytes())


def _as_number(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(value)


def _as_text(value: object) -> object:
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        return value.astype(str).tolist()
    return str(value) if isinstance(value, np.int64 | np.uint64) else _as_number(value)


def _identity(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(value)
    return int(value)
