"""Asking the application and reading its answers; and the same question answered by looking at every row."""

from __future__ import annotations

import io
import re
from typing import Any

import pyarrow as pa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from . import frozen

API = "/materialize/api/v3"


def post(client: FlaskClient, path: str, body: dict[str, Any], options: str = "", **headers: str) -> TestResponse:
    """A query of the test datastack; `path` begins after the datastack."""
    return client.post(f"{API}/datastack/{frozen.DATASTACK}/{path}?{options}", json=body, headers=headers)


def ask(client: FlaskClient, table: str, body: dict[str, Any], version: int = 1, options: str = "") -> list[frozen.Row]:
    """Rows of one table, positions as three columns."""
    answer = post(client, f"version/{version}/table/{table}/query", body, options)
    assert answer.status_code == 200, answer.text
    return read(answer).to_pylist()


def join(client: FlaskClient, body: dict[str, Any], version: int = 1, options: str = "") -> list[frozen.Row]:
    """Rows of a join."""
    answer = post(client, f"version/{version}/query", body, options)
    assert answer.status_code == 200, answer.text
    return read(answer).to_pylist()


def read(answer: TestResponse) -> pa.Table:
    """The table of an Arrow answer."""
    assert answer.content_type == "data.arrow"
    with pa.ipc.open_stream(io.BytesIO(answer.data)) as reader:
        return reader.read_all()


def flat(row: frozen.Row) -> frozen.Row:
    """A row as it travels: positions in three columns of whole numbers."""
    out: frozen.Row = {}
    for name, value in row.items():
        if name.endswith("_position"):
            out |= {f"{name}_{axis}": None if value is None else int(value[n]) for n, axis in enumerate("xyz")}
        else:
            out[name] = float_32(value) if isinstance(value, float) else value
    return out


def float_32(value: float) -> float:
    """What 32 bits keep of a number."""
    return float(pa.scalar(value, pa.float32()).as_py())


def holds(row: frozen.Row, field: str, column: str, wanted: Any) -> bool:
    """Whether a row passes one filter, by the words of the API: a missing value passes no comparison."""
    value = row[column]
    if field == "filter_null_dict":
        return (value is None) is wanted
    if value is None:
        return field in ("filter_notin_dict", "filter_out_dict") and wanted == []
    match field:
        case "filter_in_dict":
            return value in wanted
        case "filter_notin_dict" | "filter_out_dict":
            return value not in wanted
        case "filter_equal_dict":
            return value == wanted
        case "filter_greater_dict":
            return value > wanted
        case "filter_less_dict":
            return value < wanted
        case "filter_greater_equal_dict":
            return value >= wanted
        case "filter_less_equal_dict":
            return value <= wanted
        case "filter_regex_dict":
            return re.search(wanted, value) is not None
        case "filter_spatial_dict":
            return all(low <= v <= high for v, low, high in zip(value, *wanted, strict=True))
    raise AssertionError(field)
