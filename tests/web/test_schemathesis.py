"""What the OpenAPI document allows, generated and sent: nothing breaks, and every answer is one that it promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from materializationengine.domain.errors import RunInProgress
from materializationengine.web.description.document import complete
from materializationengine.web.description.page import _API

from .test_hostile import GOOD, live_tables

__all__ = ["live_tables"]
pytestmark = pytest.mark.usefixtures("rows", "live_tables")
ACCEPTED = {"Accept": "application/vnd.apache.arrow.stream", "Accept-Encoding": "identity"}
"""A form that is a media type, and unpacked: without a socket nobody unpacks it."""
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    """The document less `data.arrow`, which clients demand and which is no media type at all."""
    with app.app_context():
        found = complete(app, app.extensions[_API])
    for item in found["paths"].values():
        for operation in item.values():
            for answer in operation["responses"].values() if isinstance(operation, dict) else ():
                answer.get("content", {}).pop("data.arrow", None)
    return found


@pytest.fixture(autouse=True)
def nothing_runs(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(*_: Any, **__: Any) -> Any:
        raise RunInProgress

    monkeypatch.setattr("materializationengine.web.runs.launch", launch)
    monkeypatch.setattr("materializationengine.web.runs.retry", launch)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)


def play(app: Flask, document: dict[str, Any], examples: int) -> int:
    """Send so many cases to every operation; returns how many were sent."""
    schema = schemathesis.openapi.from_dict(document)
    schema.app = app
    schema.location = "/materialize/api/openapi.json"
    return sum(_play(operation.ok(), examples) for operation in _operations(schema))


def _operations(schema: Any) -> Iterator[Any]:
    """Every view once; the broker of these tests is away, which others look at."""
    for each in schema.get_all_operations():
        path = each.ok().path
        if ("/v2/" not in path or path.startswith("/annotation")) and "/status/" not in path:
            yield each


def _play(operation: Any, examples: int) -> int:
    sent = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        nonlocal sent
        sent += 1
        # Names that are there, else every question would end at the first of them.
        for name in case.path_parameters:
            if sent % 2:
                case.path_parameters[name] = GOOD.get(name, case.path_parameters[name])
        case.call_and_validate(checks=list(CHECKS), headers=ACCEPTED)

    send()
    return sent


def test_a_little_of_every_operation(app: Flask, document: dict[str, Any]) -> None:
    assert play(app, document, 4) > 150


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_much_of_every_operation(app: Flask, document: dict[str, Any]) -> None:
    assert play(app, document, 30) > 1200
