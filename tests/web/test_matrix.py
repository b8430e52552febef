"""Every user before every route and every kind of table, with local CAVE's auth service over HTTP.

The routes are those of the application: one that fits no line of SPEC fails here until somebody says who may use it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule as Route
from werkzeug.test import TestResponse

from materializationengine.config import Settings
from materializationengine.domain.errors import RunInProgress
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.storage.engines import Cluster
from materializationengine.web.app import create_app
from materializationengine.web.auth import Level, rule_of
from materializationengine.web.parts import parts

from . import frozen

pytestmark = pytest.mark.usefixtures("rows")
SECRET, SHOWN, HIDDEN = "marks", "nuclei", "synapses"
"""A table that its owner keeps back, one that the public datastack shows, and one that it does not."""

USERS = {
    "users": [
        {"id": 1, "token": "viewer", "permissions_v2": {"inner": ["view"]}},
        {"id": 2, "token": "editor", "permissions_v2": {"inner": ["view", "edit"]}},
        {"id": 3, "token": "owner", "permissions_v2": {"inner": ["view", "edit"]}},
        {"id": 4, "token": "admin", "admin": True, "permissions_v2": {"inner": ["view", "edit"]}},
        {"id": 5, "token": "stranger", "permissions_v2": {"elsewhere": ["view", "edit"]}},
        {"id": 6, "token": "guest", "permissions_v2": {"outer": ["view"]}},
        {"id": 7, "token": "steward", "permissions_v2": {"inner": ["view"]}},
        {"id": 8, "token": "undecided", "permissions_v2": {"outer": ["view"], "signed": ["view", "edit"]}},
        {"id": 9, "token": "robot", "parent_id": 1, "service_account": True, "permissions_v2": {"inner": ["view"]}},
    ],
    "datasets": [
        {"name": "inner", "tables": [frozen.DATASTACK, frozen.VOLUME], "admins": [7]},
        {"name": "outer", "tables": [frozen.PUBLIC]},
        {"name": "signed", "tables": ["signed_stack"], "tos": {"id": 11, "name": "Be fair", "text": "..."}},
        {"name": "elsewhere"},
    ],
}
NOBODY = ""
TOKENS = (NOBODY, "forged", *(one["token"] for one in USERS["users"]))
HOLDERS: dict[Level, set[str]] = {
    Level.OPEN: set(TOKENS),
    Level.LOGIN: {one["token"] for one in USERS["users"]},
    Level.VIEW: {"viewer", "editor", "owner", "admin", "steward", "robot"},
    Level.EDIT: {"editor", "owner", "admin"},
    Level.DATASET_ADMIN: {"steward"},
    Level.ADMIN: {"admin"},
}
"""Who is let in where the path names the private datastack, or none."""

SPEC: tuple[tuple[str, str, Level], ...] = (
    ("GET", r"/health(/live|/ready)?", Level.OPEN),
    ("GET", r"/metrics", Level.ADMIN),
    ("GET", r"/materialize/version|/(materialize|annotation)/api/versions", Level.OPEN),
    ("GET", r"/materialize/api/(openapi\.json|doc/?(<path:\w+>)?)", Level.OPEN),
    ("POST", r".*/materialize/run/(ingest_annotations|lookup_svid)/datastack/<datastack>/<table>", Level.EDIT),
    ("POST", r".*/materialize/run/(create_virtual|dump_csv_table|write_deltalake)/.*", Level.DATASET_ADMIN),
    ("POST", r"/materialize/api/v[23]/(materialize/run|bulk_upload|celery)/.*", Level.ADMIN),
    ("GET|PUT|POST", r"/materialize/api/v[23]/(celery|workflow|aligned_volumes?)/.*", Level.ADMIN),
    ("GET", r"/materialize/api/v3/runs/schedules", Level.ADMIN),
    ("GET", r"/materialize/api/v3/runs(/.*)?", Level.LOGIN),
    ("POST", r"/materialize/api/v3/runs", Level.LOGIN),
    ("POST", r"/materialize/api/v3/runs/.*", Level.ADMIN),
    ("GET|POST", r"/materialize/api/v[23]/datastack/<datastack>/.*", Level.VIEW),
    ("GET", r"/materialize/(views|pages)?/?datastack/<datastack>.*", Level.VIEW),
    ("GET", r"/annotation/api/v2/aligned_volume/<aligned_volume>/.*", Level.VIEW),
    ("POST|PUT|DELETE", r"/annotation/api/v2/aligned_volume/<aligned_volume>/.*", Level.EDIT),
)
"""Who may use what, by rest_api 1 and not by the code: the first line that fits counts."""

DESCRIBES = re.compile(r"/(metadata|schema|columns)$|/aligned_volume/<aligned_volume>/table/<table>$")
"""Rules that name a table and tell only of it: CAVE shows the description of a table that is kept back."""

BODIES: dict[str, dict[str, Any]] = {
    "tables": {"tables": [[SECRET, "id"]]},
    "live": {"table": SECRET, "timestamp": "2030-01-01T00:00:00"},
    "annotations": {"annotations": [], "annotation_ids": []},
    "remove_bad_root_ids": {"bad_roots": [1]},
}


@dataclass(frozen=True)
class Cell:
    """One way to ask, and who is expected to be let in; `secret` where the answer is of the table kept back."""

    method: str
    path: str
    level: Level
    secret: bool
    body: dict[str, Any]

    def allowed(self, who: str) -> bool:
        return who in HOLDERS[self.level] and (not self.secret or who in ("owner", "admin"))


@pytest.fixture(scope="module")
def auth_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Local CAVE with these users, in a process of its own."""
    folder = tmp_path_factory.mktemp("auth")
    users = folder / "users.json"
    users.write_text(json.dumps(USERS))
    command = [sys.executable, "-m", "localcave", "serve", "--dir", str(folder), "--port", "0"]
    command += ["--token-file", str(users)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="module")
def app(
    settings: Settings, auth_url: str, cluster: Cluster, rows: frozen.Rows, redis: PrivateRedis, tmp_path_factory: Any
) -> Iterator[Flask]:
    own = {"global_server": auth_url, "redis_url": redis.url, "dump_folder": str(tmp_path_factory.mktemp("dumps"))}
    made = create_app(replace(settings, auth_disabled=False, **own))
    _permit(cluster, "PRIVATE")
    yield made
    _permit(cluster, "PUBLIC")
    parts(made).close()


def _permit(cluster: Cluster, permission: str) -> None:
    with cluster.connect(frozen.VOLUME, "tests") as connection:
        statement = f"UPDATE annotation_table_metadata SET read_permission = '{permission}' WHERE table_name = $1"
        connection.execute(statement, SECRET)
        connection.commit()


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is let into a trigger is told that a run is in the way; nobody waits for workers that are not there."""

    def launch(*_: Any, **__: Any) -> Any:
        raise RunInProgress

    monkeypatch.setattr("materializationengine.web.runs.launch", launch)
    monkeypatch.setattr("materializationengine.workflows.status._PATIENCE", 0.001)


def ask(app: Flask, who: str, cell: Cell, **headers: str) -> TestResponse:
    if who:
        headers["Authorization"] = f"Bearer {who}"
    client = app.test_client()
    if cell.method in ("GET", "HEAD"):
        return client.open(cell.path, method=cell.method, headers=headers, buffered=True)
    return client.open(cell.path, method=cell.method, headers=headers, json=cell.body, buffered=True)


def routes(app: Flask) -> list[tuple[Route, str]]:
    methods = {"GET", "POST", "PUT", "PATCH", "DELETE"}
    return [(rule, method) for rule in app.url_map.iter_rules() for method in sorted((rule.methods or set()) & methods)]


def level_of(rule: str, method: str) -> Level:
    for methods, pattern, level in SPEC:
        if method in methods.split("|") and re.fullmatch(pattern, rule):
            return level
    raise AssertionError(f"nobody has said in SPEC who may {method} {rule}")


def cells(app: Flask) -> Iterator[Cell]:
    for rule, method in routes(app):
        level = level_of(rule.rule, method)
        # Administrators' doors are no doors to rows; a dump of a table kept back is refused by its own check.
        above = level in (Level.ADMIN, Level.DATASET_ADMIN)
        path = _fill(rule.rule, table=SHOWN if above else SECRET)
        body = BODIES.get(_kind(rule.rule), {})
        secret = (SECRET in path and not DESCRIBES.search(rule.rule)) or SECRET in json.dumps(body)
        if rule.rule.endswith("/table/<table>") and method == "DELETE":
            # Whoever is let in here removes the table; test_auth asks with one that may go.
            yield Cell(method, path.replace(SECRET, "nosuch"), level, False, body)
        else:
            yield Cell(method, path, level, secret and not above, body)


def _kind(rule: str) -> str:
    if rule.endswith("/version/<int(signed=True):version>/query"):
        return "tables"
    if rule.endswith("/datastack/<datastack>/query"):
        return "live"
    return next((word for word in ("annotations", "remove_bad_root_ids") if f"/{word}" in rule), "")


def _fill(rule: str, stack: str = frozen.DATASTACK, table: str = SECRET) -> str:
    values = {"datastack": stack, "aligned_volume": frozen.VOLUME, "table": table, "version": "1", "deed": "cancel"}
    values |= {"base_version": "1", "iterations": "1", "run_id": "000000000000", "view": "noview"}
    values |= {"segmentation_source": frozen.PCG, "description": "d", "path": "index.css"}
    path = re.sub(r"<(?:[^:<>]+:)?(\w+)>", lambda found: values.get(found[1], "1"), rule)
    return f"{path}?annotation_ids=1" if path.endswith("/annotations") else path


def test_every_view_has_a_rule_and_it_is_the_right_one(app: Flask) -> None:
    for rule, method in routes(app):
        held = rule_of(app.view_functions[rule.endpoint])
        assert held is not None, f"{rule.rule} has no rule: needs, needs_login, needs_admin or open_to_all"
        # Figures may have a token of their own instead, so their view is open and looks for itself.
        if rule.rule != "/metrics":
            assert held.level is level_of(rule.rule, method), (rule.rule, method)
        if held.namespace:
            assert held.namespace in rule.arguments, rule.rule


def test_no_cell_leaks_even_right_after_an_allowed_call(app: Flask) -> None:
    wrong, asked = [], 0
    for cell in cells(app):
        allowed = [who for who in TOKENS if cell.allowed(who)]
        denied = [who for who in TOKENS if not cell.allowed(who)]
        tag = ""
        # What the allowed calls leave in a cache, or give away as a tag, must open nothing to those who come after.
        for who in (*denied, *allowed, *denied):
            answer = ask(app, who, cell, **({"If-None-Match": tag} if tag else {}))
            asked += 1
            tag = tag or answer.headers.get("ETag", "")
            wrong += [(cell, who, answer.status_code, answer.data[:300])] * (not _fits(cell, who, answer))
    assert not wrong, wrong[:5]
    assert asked > 1000


def _fits(cell: Cell, who: str, answer: TestResponse) -> bool:
    if cell.allowed(who):
        return answer.status_code not in (401, 403)
    statuses = (401, 403) if who in HOLDERS[Level.LOGIN] else (401,)
    return answer.status_code in statuses and set(answer.json) - {"data"} == SHAPE


SHAPE = {"code", "message", "error", "details", "request_id"}


def test_a_public_datastack_never_shows_what_its_parent_holds(app: Flask, rows: frozen.Rows) -> None:
    """Whatever a guest asks of it by path or body, tables it does not show are unknown and the parent is not named."""
    told = []
    for rule, method in routes(app):
        if "<datastack>" not in rule.rule:
            continue
        path = _fill(rule.rule, frozen.PUBLIC, HIDDEN).replace("/version/1", "/version/5")
        body = json.loads(json.dumps(BODIES.get(_kind(rule.rule), {})).replace(SECRET, HIDDEN))
        answer = ask(app, "guest", Cell(method, path, Level.VIEW, False, body))
        names_it = "<table>" in rule.rule or HIDDEN in json.dumps(body)
        if level_of(rule.rule, method) is not Level.VIEW:
            told += [(path, answer.status_code)] * (answer.status_code != 403)
        elif names_it:
            told += [(path, answer.status_code, answer.text)] * (answer.status_code not in (400, 404))
        told += [(path, word) for word in (frozen.DATASTACK, SECRET) if word in answer.text]
        if not names_it:
            told += [(path, HIDDEN)] * (HIDDEN in answer.text)
    assert not told, told


def test_a_public_datastack_answers_of_its_own_moments_only(app: Flask) -> None:
    stack = f"/materialize/api/v3/datastack/{frozen.PUBLIC}"
    for moment, status in (("2026-01-01T00:00:00", 410), ("2026-01-02T03:04:06", 200), ("2030-01-01T00:00:00", 200)):
        body = {"table": SHOWN, "timestamp": moment}
        answer = ask(app, "guest", Cell("POST", f"{stack}/query", Level.VIEW, False, body))
        assert answer.status_code == status, answer.text
        if status == 200:
            assert answer.headers["X-Effective-Timestamp"] == "2026-01-02T03:04:05.000006"
    live = ask(app, "guest", Cell("GET", f"{stack}/version/0/views", Level.VIEW, False, {}))
    assert live.status_code == 404, live.text


def test_terms_of_service_as_the_client_looks_for_them(app: Flask, auth_url: str) -> None:
    path = "/materialize/api/v3/datastack/signed_stack/versions"
    cell = Cell("GET", path, Level.VIEW, False, {})
    answer = ask(app, "undecided", cell)
    form = f"{auth_url}/auth/api/v1/tos/11/accept"
    assert answer.status_code == 403 and answer.content_type == "application/json"
    assert answer.json["error"] == "missing_tos"
    assert answer.json["data"] == {"tos_id": 11, "tos_name": "Be fair", "tos_form_url": form}
    assert ask(app, "stranger", cell).json["error"] == "missing_permission"


def test_answers_of_the_auth_service_are_kept_by_user(settings: Settings, auth_url: str) -> None:
    """Tokens are what answers are kept by: a second user's permission never comes from the first one's."""
    made = create_app(replace(settings, auth_disabled=False, global_server=auth_url))
    try:
        cell = Cell("GET", f"/materialize/api/v3/datastack/{frozen.DATASTACK}/versions", Level.VIEW, False, {})
        order = ("viewer", "stranger", "viewer", NOBODY, "guest", "admin", "forged", "undecided", "robot")
        seen = [ask(made, who, cell).status_code for who in order]
        assert seen == [200, 403, 200, 401, 403, 200, 401, 403, 200]
    finally:
        parts(made).close()
