"""deploy/alerts.yml: Prometheus would read it, every figure in it exists, and every alert has its paragraph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
import yaml
from flask import Flask

from materializationengine.config import Settings
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/alerts.yml"
RUNBOOK = ROOT / "docs/operate/runbook.md"
WATCH = ROOT / "docs/operate/watch.md"
NAME = re.compile(r"matengine_\w+")
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
RULE_FILE = {
    # The form of a rule file as Prometheus documents it, narrowed to alerts that say what we promise.
    "type": "object",
    "required": ["groups"],
    "additionalProperties": False,
    "properties": {
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "rules"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "rules": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["alert", "expr", "labels", "annotations"],
                            "additionalProperties": False,
                            "properties": {
                                "alert": {"type": "string", "pattern": "^Matengine[A-Za-z]+$"},
                                "expr": {"type": "string"},
                                "for": {"type": "string", "pattern": "^([0-9]+(ms|[smhdwy]))+$"},
                                "labels": {**TEXTS, "properties": {"severity": {"enum": ["page", "ticket"]}}},
                                "annotations": {**TEXTS, "required": ["summary", "runbook"]},
                            },
                        },
                    },
                },
            },
        }
    },
}


def _rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(ALERTS.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


RULES = _rules()


@pytest.fixture(scope="module")
def told() -> Iterator[set[str]]:
    """Names of the figures that the service tells, where all that they need is there or not."""
    app: Flask = create_app(Settings(redis_url="redis://127.0.0.1:1/0", auth_disabled=True))
    source = "\n".join(path.read_text() for path in (ROOT / "materializationengine/web").glob("*.py"))
    gauges = {f"matengine_{name}" for name in re.findall(r'gauge\(\s*"(\w+)"', source)}
    own = {sample for family in parts(app).meters.registry.collect() for sample in _samples(family.name, family.type)}
    parts(app).close()
    yield gauges | own | {"matengine_build_info", *_samples("matengine_graph_request_seconds", "histogram")}


def _samples(name: str, kind: str) -> set[str]:
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(kind, ("",))
    return {name + ending for ending in endings}


def test_prometheus_would_read_the_file() -> None:
    jsonschema.validate(yaml.safe_load(ALERTS.read_text()), RULE_FILE)
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names) > 15


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_expression_is_promql_on_figures_that_exist(rule: dict[str, Any], told: set[str]) -> None:
    promql_parser.parse(rule["expr"])
    asked = set(NAME.findall(rule["expr"]))
    assert asked and asked <= told


def test_a_mistake_in_an_expression_would_be_seen() -> None:
    with pytest.raises(ValueError, match=r".+"):
        promql_parser.parse("max by (queue matengine_workers == 0")


def test_every_alert_has_its_paragraph_and_every_paragraph_its_alert() -> None:
    headings = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]
    paragraphs = re.split(r"^### \w+$", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    assert all(len(text.split()) > 15 for text in paragraphs)
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/operate/runbook.md#{rule['alert'].lower()}"


def test_every_figure_is_in_the_manual_and_the_manual_names_no_other(told: set[str]) -> None:
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in told}
    named = {name for name in NAME.findall(WATCH.read_text()) if not name.endswith(("_request_id", "_run_id"))}
    assert named == families
