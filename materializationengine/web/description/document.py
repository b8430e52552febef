"""The OpenAPI document: what flask-smorest knows of each route, and what rules, answers and examples add to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from inspect import unwrap
from typing import Any

from flask import Flask
from flask_smorest import Api
from werkzeug.routing import Rule as Route

from ..auth import Level, Rule, rule_of
from ..browsers import TOKEN

Json = dict[str, Any]
METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
_VARIABLE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_COPY = re.compile(r"_v\d+$")

SCHEMES: Json = {
    "header": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer TOKEN`"},
    "query": {"type": "apiKey", "in": "query", "name": TOKEN},
    "cookie": {"type": "apiKey", "in": "cookie", "name": TOKEN},
}
_WHO = {
    Level.OPEN: "Open to all.",
    Level.LOGIN: "Takes a token.",
    Level.VIEW: "Takes the permission to view.",
    Level.EDIT: "Takes the permission to edit.",
    Level.DATASET_ADMIN: "Takes an administrator of the dataset.",
    Level.ADMIN: "Takes an administrator of the site.",
}


@cache
def told() -> Json:
    """`answers.json`: for each view the status, schema, example and refusals that its code cannot tell."""
    return dict(json.loads(files(__package__).joinpath("answers.json").read_text(encoding="utf-8")))


def complete(app: Flask, api: Api) -> Json:
    """The whole document of an application whose routes are all there."""
    document: Json = api.spec.to_dict()
    document["servers"] = [{"url": "/"}]
    document["components"]["securitySchemes"] = SCHEMES
    document["components"]["schemas"] |= told()["schemas"]
    document["components"]["responses"] = _refusals()
    document["security"] = [{name: []} for name in SCHEMES]
    for route, method, operation in _operations(app, document["paths"]):
        view = app.view_functions[route.endpoint]
        _finish(operation, route, method, view, document["components"]["schemas"])
    return document


def _operations(app: Flask, paths: Json) -> Iterator[tuple[Route, str, Json]]:
    for route in app.url_map.iter_rules():
        path = _VARIABLE.sub(r"{\1}", route.rule)
        for method in sorted((route.methods or set()) & METHODS):
            operation = paths.get(path, {}).get(method.lower())
            if operation is not None:
                yield route, method, operation


def _finish(operation: Json, route: Route, method: str, view: Callable[..., Any], schemas: Json) -> None:
    rule = rule_of(view) or Rule(Level.ADMIN)
    about = told()["views"].get(name_of(route, view), {})
    operation["operationId"] = "_".join([method.lower(), *re.findall(r"\w+", _VARIABLE.sub(r"\1", route.rule))])
    operation["description"] = " ".join([_WHO[rule.level], *about.get("remarks", ())])
    if rule.level is Level.OPEN:
        operation["security"] = []
    if "requestBody" in operation:
        _describe_body(operation["requestBody"], about, schemas)
    operation["responses"] = _answers(about) | {
        str(status): {"$ref": f"#/components/responses/{HTTPStatus(status).name}"}
        for status in sorted(refusals(operation, route, rule, about))
    }
    operation.setdefault("parameters", []).extend(told()["headers"][name] for name in about.get("headers", ()))


def name_of(route: Route, view: Callable[..., Any]) -> str:
    """What `answers.json` calls a view: its blueprint and its own name."""
    return f"{_COPY.sub('', route.endpoint.partition('.')[0])}.{unwrap(view).__name__}"


def refusals(operation: Json, route: Route, rule: Rule, about: Json) -> set[int]:
    """The statuses with which an operation may refuse."""
    found = set(about.get("refuses", ()))
    if rule.level is not Level.OPEN:
        found |= {400, 401, 429, 502, 503}
    if rule.level not in (Level.OPEN, Level.LOGIN):
        found |= {403}
    if route.arguments:
        found |= {404}
    if "requestBody" in operation:
        found |= {400, 413, 415}
    return found


def _describe_body(body: Json, about: Json, schemas: Json) -> None:
    content = body["content"]["application/json"]
    if "asks" in about:
        content["example"] = about["asks"]
    # An empty body is read as {}, so only a schema that demands a field demands a body.
    body["required"] = bool(schemas[content["schema"]["$ref"].rpartition("/")[2]].get("required"))


def _answers(about: Json) -> Json:
    answer: Json = {"description": about.get("says", "What was asked for.")}
    content = about.get("content") or {"application/json": {"schema": about.get("schema", {})}}
    if "example" in about:
        content = {kind: {**form, "example": about["example"]} for kind, form in content.items()}
    answer["content"] = content
    if "tells" in about:
        answer["headers"] = {name: _header(text) for name, text in about["tells"].items()}
    found = {str(about.get("status", 200)): answer}
    if about.get("tagged"):
        found["304"] = {"description": "What the caller has is what this would be."}
    return found | {status: answer | {"description": text} for status, text in about.get("also", {}).items()}


def _header(text: str) -> Json:
    return {"schema": {"type": "string"}, "description": text}


def _refusals() -> Json:
    schema = {"$ref": "#/components/schemas/Refusal"}
    return {
        status.name: {
            "description": f"{status.phrase}. {told()['statuses'].get(str(status.value), '')}".strip(),
            "content": {"application/json": {"schema": schema, "example": _example(status)}},
        }
        for status in HTTPStatus
        if status >= 400 and str(status.value) in told()["statuses"]
    }


def _example(status: HTTPStatus) -> Json:
    word = status.phrase.lower().replace(" ", "_").replace("-", "_")
    return {"code": int(status), "message": status.description, "error": word, "details": {}, "request_id": "5f2c81"}
