"""Whatever is put into a name, a value or a body: an answer or a clear 4xx, quickly, in one shape, for every route."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from materializationengine.domain.errors import RunInProgress
from materializationengine.domain.schemas import schema
from materializationengine.storage.engines import Cluster
from materializationengine.storage.tables import create_table
from materializationengine.web.description.document import complete
from materializationengine.web.description.page import _API

from . import frozen

pytestmark = pytest.mark.usefixtures("rows")
SHAPE = {"code", "message", "error", "details", "request_id"}
PATIENCE = 15.0
"""Seconds for one answer, on machines that others share; on one's own the slowest takes one."""

GOOD = {"datastack": frozen.DATASTACK, "aligned_volume": frozen.VOLUME, "table": "marks", "version": "1", "view": "v"}
GOOD |= {"run_id": "000000000000", "deed": "cancel", "base_version": "1", "iterations": "1", "description": "d"}
GOOD |= {"segmentation_source": frozen.PCG}
LIVE = {"table": "marks", "timestamp": "2026-01-02T03:04:06"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "/datastack/{datastack}/query": LIVE,
    "/version/{version}/query": {"tables": [["marks", "id"]]},
    "/table/{table}/query": {},
}
"""Bodies that get an answer of rows, by the end of the path; those of the document are about other tables."""

NAMES = (
    "marks'; DROP TABLE marks; --",
    'marks" CASCADE; --',
    "marks\x00",
    "../../etc/passwd",
    "%s{}$1\\",
    "x" * 3000,
    "\N{PILE OF POO}",
    "pg_catalog.pg_authid",
)
NUMBERS = ("-1", "0", str(2**31), str(2**63), str(2**64), str(10**30), "nan", "1e3", "'1'")
ARGUMENTS = ("", "NaN", "-1", str(2**64), "1e400", "' OR 1=1 --", "\x00", "x" * 5000, "2026-13-45", "0001-01-01", "[]")
TEXTS: tuple[Any, ...] = ("'; DROP TABLE marks; --", "\x00", "\ud800", "x" * 100_000, "9999-12-31T23:59:59+00:00")
VALUES: tuple[Any, ...] = (
    *TEXTS,
    *(float("nan"), float("inf"), -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e300, 0.5),
    *(True, None, [], {}, [[[[]]]], [None], [{}], [float("nan")], [2**64], {"": None}, {"marks": {"id": 2**64}}),
    {"marks": {"'; DROP TABLE marks": [1]}},
    {"marks": {"tag": {"a": 1}}},
    {"\x00": {"\ud800": "\x00"}},
)
BODIES: tuple[bytes, ...] = (
    *(b"{", b"\xff\xfe", b"[" * 100_000, b"null", b"1", b'"x"', b"[1]", b"NaN", b"\x00", b'{"a": 1' * 50_000),
    b"x" * (10 << 20),
    b'{"limit": ' + b"9" * 5000 + b"}",
    b'{"' + b"y" * (10 << 20) + b'": 1}',
)
FORMS = (
    "application/xml",
    "multipart/form-data; boundary=x",
    "application/octet-stream",
    "image/png",
    "application/zip",
)


@dataclass
class Judge:
    """Asks, and remembers what was wrong with the answers."""

    client: FlaskClient
    wrong: list[str] = field(default_factory=list)
    asked: int = 0

    def ask(self, about: str, method: str, path: str, **request: Any) -> TestResponse:
        started = time.monotonic()
        answer = self.client.open(path, method=method, buffered=True, **request)
        seconds = time.monotonic() - started
        self.asked += 1
        told = f"{method} {path[:150]} {about[:80]}: {answer.status_code} in {seconds:.1f} s"
        refused = answer.status_code >= 400
        if answer.status_code >= 500 or answer.status_code // 100 == 3 or (refused and not self.one_shape(answer)):
            self.wrong.append(f"{told} {answer.text[:300]}")
        elif seconds > PATIENCE:
            self.wrong.append(f"{told}: too slow")
        return answer

    @staticmethod
    def one_shape(answer: TestResponse) -> bool:
        told = answer.get_json(silent=True)
        whole = isinstance(told, dict) and set(told) - {"data"} == SHAPE and told["message"]
        return bool(whole) and told["code"] == answer.status_code and "Traceback" not in answer.text

    def close(self, least: int) -> None:
        assert not self.wrong, "\n".join([f"{len(self.wrong)} of {self.asked}:", *self.wrong[:30]])
        assert self.asked >= least


@pytest.fixture(scope="module", autouse=True)
def live_tables(cluster: Cluster, rows: frozen.Rows) -> Iterator[None]:
    """The live tables behind the versions, empty: a question of now is answered, not refused for want of them."""
    tables = {name: schema(kind).annotation_columns() for name, kind in frozen.SCHEMAS.items()}
    for name, kind in frozen.SCHEMAS.items():
        if schema(kind).has_segmentation:
            tables[f"{name}__{frozen.PCG}"] = schema(kind).segmentation_columns()
    with cluster.connect(frozen.VOLUME, "tests") as connection:
        for name, columns in tables.items():
            connection.execute(create_table(name, columns))
        connection.execute("CREATE SEQUENCE marks_id_seq OWNED BY marks.id")
        connection.commit()
        yield
        for name in tables:
            connection.execute(f'DROP TABLE "{name}"')
        connection.commit()


@pytest.fixture
def judge(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """No trigger starts anything; a fault of ours is an answer here, not an exception."""

    def launch(*_: Any, **__: Any) -> Any:
        raise RunInProgress

    monkeypatch.setattr("materializationengine.web.runs.launch", launch)
    monkeypatch.setattr("materializationengine.web.runs.retry", launch)
    monkeypatch.setattr("materializationengine.workflows.status._PATIENCE", 0.001)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    yield Judge(app.test_client())


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    with app.app_context():
        return complete(app, app.extensions[_API])


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every view once: those of v2 that v3 has as well are the same; the broker is asked by other tests."""
    for path, item in document["paths"].items():
        if path.replace("/v2/", "/v3/") in document["paths"] and "/v2/" in path:
            continue
        for method, operation in item.items():
            if method != "parameters" and "/status/" not in path:
                yield path, method.upper(), {**operation, "path": item.get("parameters", [])}


def fill(path: str, **odd: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: quote(odd.get(found[1], GOOD.get(found[1], "1")), safe=""), path)


def test_names_and_numbers_in_paths(judge: Judge, document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for parameter in operation["path"]:
            for value in NUMBERS if parameter["schema"]["type"] == "integer" else NAMES:
                body = {} if "requestBody" in operation else None
                judge.ask(repr(value), method, fill(path, **{parameter["name"]: value}), json=body)
    judge.close(500)


def test_arguments_of_queries(judge: Judge, document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            for value in ARGUMENTS if parameter["in"] == "query" else ():
                body = {} if "requestBody" in operation else None
                address = f"{fill(path)}?{parameter['name']}={quote(value)}"
                judge.ask(repr(value), method, address, json=body)
    judge.close(300)


def test_values_of_every_field_of_every_body(judge: Judge, document: dict[str, Any]) -> None:
    """Routes whose bodies have one schema read it by one parser, so the first of them stands for all."""
    read: set[str] = set()
    for path, method, operation in operations(document):
        kind = str(operation.get("requestBody", {}).get("content"))
        schema_name = kind.partition("schemas/")[2].partition("'")[0]
        for name, example in fields(document, path, operation) if schema_name not in read else ():
            for value in VALUES:
                body = json.dumps({**example, name: value}).encode()
                judge.ask(f"{name}={value!r}", method, fill(path), data=body, content_type="application/json")
        read.add(schema_name)
    judge.close(1500)


def fields(document: dict[str, Any], path: str, operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        for name in schema["properties"]:
            yield name, next((body for end, body in EXAMPLES.items() if path.endswith(end)), content.get("example", {}))


def test_bodies_that_are_none(judge: Judge, document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if "requestBody" in operation:
            for body in BODIES:
                answer = judge.ask(repr(body[:20]), method, fill(path), data=body, content_type="application/json")
                assert 400 <= answer.status_code < 500 and len(answer.data) < 5000, (path, body[:20], answer.text[:200])
    judge.close(200)


def test_bodies_in_forms_that_are_not_read(judge: Judge, document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if "requestBody" in operation:
            for form in FORMS:
                answer = judge.ask(form, method, fill(path), data=b"{}", content_type=form)
                assert answer.status_code == 415 and "application/json" in answer.json["message"], answer.text
            packed = {"Content-Encoding": "gzip"}
            answer = judge.ask("gzip", method, fill(path), data=b"\x1f\x8b", headers=packed)
            assert answer.status_code == 415
    judge.close(100)


def test_paths_and_methods_that_are_not_there(judge: Judge, document: dict[str, Any]) -> None:
    for path in (
        "/",
        "/nosuch",
        "/materialize/api/v4/x",
        "/materialize//version",
        "/%00",
        "/materialize/api/v3/" + "x" * 9000,
    ):
        assert judge.ask("", "GET", path).status_code in (400, 404), path
    for path in document["paths"]:
        answer = judge.ask("", "PATCH", fill(path))
        assert answer.status_code == 405 and answer.headers["Allow"], path
    for header in ("Bearer", "Basic eDp5", "Bearer \xff", "x" * 5000):
        judge.ask(header, "GET", "/materialize/version", headers={"Authorization": header})
    judge.close(50)


def test_a_trailing_slash_leads_to_the_same_place_without_a_redirect(judge: Judge) -> None:
    path = f"/materialize/api/v3/datastack/{frozen.DATASTACK}/versions"
    assert judge.ask("", "GET", f"{path}/").json == judge.ask("", "GET", path).json
    judge.close(2)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a*)*b", "((((a{1,50}){1,50}){1,50}){1,50})", "a{1,255}" * 60, "(.*)" * 100 + "x"]
)
def test_a_regular_expression_cannot_hold_the_database(judge: Judge, pattern: str) -> None:
    path = f"/materialize/api/v3/datastack/{frozen.DATASTACK}/version/1/table/cell_types/query"
    body = {"filter_regex_dict": {"cell_types": {"cell_type": pattern}}}
    answer = judge.ask(pattern, "POST", path, json=body)
    assert answer.status_code in (200, 400, 408)
    judge.close(1)


@pytest.mark.parametrize("kind", ["filter_in_dict", "filter_notin_dict", "filter_out_dict"])
def test_a_hundred_thousand_values_in_a_list(judge: Judge, kind: str) -> None:
    base = f"/materialize/api/v3/datastack/{frozen.DATASTACK}"
    ids, texts = list(range(100_000)), [f"t{n}" for n in range(100_000)]
    for table, column, values in (("marks", "id", ids), ("cell_types", "cell_type", texts)):
        answer = judge.ask(
            kind, "POST", f"{base}/version/1/table/{table}/query", json={kind: {table: {column: values}}}
        )
        assert answer.status_code == 200, answer.text
    live = judge.ask(kind, "POST", f"{base}/query", json={**LIVE, kind: {"marks": {"id": ids}}})
    assert live.status_code == 200, live.text
    judge.close(3)


def test_nothing_was_dropped_or_read_from_elsewhere(client: FlaskClient, cluster: Cluster) -> None:
    """Runs after the tests above: every table still holds its rows."""
    for database in (f"{frozen.DATASTACK}__mat1", f"{frozen.DATASTACK}__mat2"):
        with cluster.connect(database, "tests") as connection:
            counts = {name: connection.value(f'SELECT count(*) FROM "{name}"') for name in frozen.SCHEMAS}
        assert counts["marks"] >= 30 and counts["synapses"] >= 2000
