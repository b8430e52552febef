"""The description of the API: every route, with examples that hold, and a page that needs no net."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from inspect import unwrap
from typing import Any

import jsonschema
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from materializationengine.config import Settings
from materializationengine.web.app import create_app
from materializationengine.web.description.document import name_of, told
from materializationengine.web.parts import parts
from tests.browser import open_browser, requested

ADDRESS = "/materialize/api/openapi.json"


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    found = app.test_client().get(ADDRESS)
    assert found.status_code == 200
    return dict(found.json)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def test_the_document_is_kept_until_it_changes(client: FlaskClient) -> None:
    tag = client.get(ADDRESS).headers["ETag"]
    assert client.get(ADDRESS, headers={"If-None-Match": tag}).status_code == 304


def test_every_route_of_the_api_is_described(app: Flask, document: dict[str, Any]) -> None:
    plain = {"health", "description", "metrics"}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] not in plain and not rule.endpoint.startswith("neighbor"):
            path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
            methods = {method.lower() for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
            assert methods <= set(document["paths"][path]), rule.rule


def test_what_is_told_of_views_is_told_of_views_that_are_there(app: Flask) -> None:
    there = {name_of(rule, app.view_functions[rule.endpoint]) for rule in app.url_map.iter_rules()}
    assert set(told()["views"]) <= there


def test_operations_have_names_of_their_own_and_say_who_may(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for path, method, operation in operations(document):
        assert operation["summary"] and operation["description"], (method, path)
        closed = operation.get("security", document["security"]) != []
        assert closed is ("401" in operation["responses"]), (method, path)
        assert "default" not in operation["responses"], (method, path)


def test_examples_are_what_their_schemas_allow(document: dict[str, Any]) -> None:
    seen = 0
    for _, _, operation in operations(document):
        for content in contents(operation):
            if "example" in content:
                schema = {**plain(content["schema"]), "components": plain(document["components"])}
                jsonschema.Draft202012Validator(schema).validate(content["example"])
                seen += 1
    assert seen > 80


def contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for response in operation["responses"].values():
        yield from response.get("content", {}).values()


def plain(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: `nullable` is a type there."""
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: plain(value) for key, value in schema.items() if key != "nullable"}
    if schema.get("nullable") and "type" in found:
        found["type"] = [found["type"], "null"]
    return found


def test_examples_of_bodies_are_read(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        example = told()["views"].get(name_of(rule, view), {}).get("asks")
        for argument in getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", []):
            if example is not None and argument["in"] == "json":
                held = argument["schema"]
                assert (held() if isinstance(held, type) else held).load(example) is not None, unwrap(view).__name__


def test_the_files_of_the_page_bring_their_license(client: FlaskClient) -> None:
    assert "Apache" in client.get("/materialize/api/doc/LICENSE").text
    for name in ("index.html", "../document.py", "answers.json", "%2e%2e/document.py", "swagger-ui.js"):
        assert client.get(f"/materialize/api/doc/{name}").status_code == 404
    page = client.get("/materialize/api/doc")
    assert "http" not in page.text and "default-src 'self'" in page.headers["Content-Security-Policy"]


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[str]:
    made = create_app(settings)
    served = make_server("127.0.0.1", 0, made, threaded=True)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()
    parts(made).close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def test_the_page_shows_every_group_and_opens_one_with_no_other_host(browser: Any, server: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def found(selector: str) -> list[Any]:
        return list(browser.find_elements(By.CSS_SELECTOR, selector))

    def wait(selector: str) -> Any:
        return WebDriverWait(browser, 60).until(lambda _: found(selector))[0]

    browser.get(f"{server}/materialize/api/doc")
    wait(".opblock-tag")
    groups = {each.get_attribute("data-tag") for each in found(".opblock-tag")}
    assert {"queries", "versions", "annotations", "runs", "materialize"} <= groups
    wait('.opblock-tag[data-tag="queries"]').click()
    wait('[id*="version_table_table_query"] button').click()
    example = wait('[id*="version_table_table_query"] .body-param__example')
    assert "filter_in_dict" in example.text and "864691135000000000" in example.text
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not severe, severe
    asked = {address for address in requested(browser) if address.startswith("http")}
    assert len(asked) >= 5 and all(address.startswith(f"{server}/") for address in asked), asked
