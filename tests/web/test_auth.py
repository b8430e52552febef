"""Who may do what: users x routes, with an auth service that knows four people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient

from materializationengine.config import Settings
from materializationengine.domain.errors import NotAllowed, NotLoggedIn, RunInProgress
from materializationengine.gateways.auth import User
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from materializationengine.web.slots import Slots

from . import frozen

STACK = f"/materialize/api/v3/datastack/{frozen.DATASTACK}"
PUBLIC = f"/materialize/api/v3/datastack/{frozen.PUBLIC}"
TABLE = f"/annotation/api/v2/aligned_volume/{frozen.VOLUME}/table"
PEOPLE = {
    "reader": User(1, permissions={"dataset": frozenset({"view"})}),
    "writer": User(2, permissions={"dataset": frozenset({"view", "edit"})}),
    "owner": User(3, groups=frozenset({"lab", "all"}), permissions={"dataset": frozenset({"view", "edit"})}),
    "admin": User(4, admin=True, permissions={"dataset": frozenset({"view", "edit"})}),
    "stranger": User(5),
    "colleague": User(6, groups=frozenset({"lab"}), permissions={"dataset": frozenset({"view", "edit"})}),
    "anybody": User(7, groups=frozenset({"all"}), permissions={"dataset": frozenset({"view", "edit"})}),
}
pytestmark = pytest.mark.usefixtures("rows")


class FourPeople:
    """The auth service's answers, without the service."""

    def user(self, token: str | None) -> User:
        if not token:
            raise NotLoggedIn("this needs a token", error="no_token")
        if token not in PEOPLE:
            raise NotLoggedIn("the token is invalid", error="invalid_token")
        return PEOPLE[token]

    def require(self, token: str | None, permission: str, namespace: str, name: str) -> User:
        user = self.user(token)
        if permission not in user.permissions.get("dataset", ()):
            data = {"required_permission": permission, "auth_dataset": "dataset"}
            raise NotAllowed("no", error="missing_permission", data=data)
        return user

    def require_dataset_admin(self, token: str | None, namespace: str, name: str) -> User:
        return self.require_admin(token)

    def require_admin(self, token: str | None) -> User:
        user = self.user(token)
        if not user.admin:
            raise NotAllowed("no", error="missing_admin")
        return user

    def groups_of(self, user: str, token: str | None) -> frozenset[str]:
        return next((one.groups for one in PEOPLE.values() if str(one.id) == user), frozenset())


@pytest.fixture(scope="module")
def guarded(settings: Settings) -> Iterator[Flask]:
    app = create_app(replace(settings, excluded_groups="all, everybody"))
    parts(app).auth = FourPeople()
    yield app
    parts(app).close()


def status(app: Flask, who: str | None, method: str, path: str, body: Any = None) -> int:
    headers = {"Authorization": f"Bearer {who}"} if who else {}
    return app.test_client().open(path, method=method, json=body, headers=headers).status_code


OPEN = [
    "/health/live",
    "/health/ready",
    "/health",
    "/materialize/version",
    "/materialize/api/versions",
    "/annotation/api/versions",
    "/materialize/api/openapi.json",
]
VIEW = [
    ("GET", f"{STACK}/versions", None),
    ("GET", f"{STACK}/metadata", None),
    ("GET", f"{STACK}/version/1", None),
    ("GET", f"{STACK}/version/1/tables", None),
    ("GET", f"{STACK}/version/1/tables/metadata", None),
    ("GET", f"{STACK}/version/1/table/nuclei/metadata", None),
    ("GET", f"{STACK}/version/1/table/nuclei/count", None),
    ("POST", f"{STACK}/version/1/table/nuclei/query", {}),
    ("POST", f"{STACK}/version/1/query", {"tables": [["nuclei", "id"]]}),
    ("GET", TABLE, None),
    ("GET", f"{STACK}/version/1/views", None),
    ("GET", f"{STACK}/version/1/views/schemas", None),
    ("GET", f"{STACK}/version/1/table/nuclei/schema", None),
    ("GET", f"{PUBLIC}/table/cell_types/unique_string_values", None),
    ("POST", f"{PUBLIC}/query", {"table": "nuclei", "timestamp": "2030-01-01"}),
]
ADMIN = [
    "/materialize/api/v2/celery/test/1",
    *(
        f"/materialize/api/v2/materialize/run/{word}/datastack/{frozen.DATASTACK}"
        for word in ("ingest_annotations", "update_roots", "create_frozen", "complete_workflow")
    ),
    f"/materialize/api/v2/bulk_upload/upload/{frozen.DATASTACK}/t/{frozen.PCG}/d",
    "/materialize/api/v3/runs/pause",
    "/materialize/api/v3/runs/unpause",
    *(f"/materialize/api/v3/runs/000000000000/{deed}" for deed in ("cancel", "retry", "resume")),
]


def test_figures_take_an_administrator_where_they_have_no_token_of_their_own(guarded: Flask) -> None:
    assert [status(guarded, who, "GET", "/metrics") for who in (None, "writer", "admin")] == [401, 403, 200]


VIRTUAL = f"/materialize/api/v2/materialize/run/create_virtual/datastack/{frozen.DATASTACK}"


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open_to_all(guarded: Flask, path: str) -> None:
    assert status(guarded, None, "GET", path) == 200


@pytest.mark.parametrize(("method", "path", "body"), VIEW)
def test_what_takes_the_permission_to_view(guarded: Flask, method: str, path: str, body: Any) -> None:
    seen = {who: status(guarded, who, method, path, body) for who in (None, "nobody", "stranger", "reader", "stranger")}
    assert seen == {None: 401, "nobody": 401, "stranger": 403, "reader": 200}


@pytest.mark.parametrize("path", ADMIN)
def test_what_takes_an_administrator(guarded: Flask, path: str) -> None:
    assert [status(guarded, who, "POST", path, {}) for who in (None, "stranger", "writer")] == [401, 403, 403]


def test_a_virtual_version_takes_an_administrator_of_the_dataset(guarded: Flask) -> None:
    body = {"target_version": 99, "tables_to_include": ["nuclei"], "virtual_version_name": "shared"}
    asked = [status(guarded, who, "POST", VIRTUAL, body) for who in (None, "stranger", "writer", "admin")]
    assert asked == [401, 403, 403, 404]


def test_runs_show_only_what_one_may_view(guarded: Flask) -> None:
    assert status(guarded, None, "GET", "/materialize/api/v3/runs") == 401
    assert status(guarded, "stranger", "GET", "/materialize/api/v3/runs") == 200
    assert (
        status(guarded, "writer", "POST", "/materialize/api/v3/runs", {"kind": "freeze", "datastack": frozen.DATASTACK})
        == 403
    )


@pytest.mark.parametrize("trigger", ["ingest_annotations", "lookup_svid"])
def test_a_trigger_of_a_table_takes_who_may_write_to_it(
    guarded: Flask, trigger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def launch(services: Any, request: Any, send: Any, **_: Any) -> Any:
        asked.append(request.table)
        raise RunInProgress

    monkeypatch.setattr("materializationengine.web.runs.launch", launch)
    path = f"/materialize/api/v2/materialize/run/{trigger}/datastack/{frozen.DATASTACK}/nuclei"
    people = (None, "stranger", "reader", "writer", "owner", "admin", "writer")
    assert [status(guarded, who, "POST", path, {}) for who in people] == [401, 403, 403, 401, 409, 409, 401]
    kind = {"ingest_annotations": "ingest", "lookup_svid": "lookup-svid"}[trigger]
    body = {"kind": kind, "datastack": frozen.DATASTACK, "table": "nuclei"}
    seen = [status(guarded, who, "POST", "/materialize/api/v3/runs", body) for who in people]
    assert seen == [401, 403, 403, 401, 409, 409, 401]
    assert asked == ["nuclei"] * 4


def test_tables_belong_to_their_owners(guarded: Flask) -> None:
    words = {"description": "d", "voxel_resolution_x": 1, "voxel_resolution_y": 1, "voxel_resolution_z": 1}
    body = {"schema_type": "pt_bool_valid", "table_name": "owned", "metadata": {**words, "read_permission": "PRIVATE"}}
    assert [status(guarded, who, "POST", TABLE, body) for who in ("reader", "owner")] == [403, 200]
    row = {"annotations": [{"pt": {"position": [1, 2, 3]}, "tag": True, "valid_id": 1}]}
    asked = f"{TABLE}/owned/annotations"
    assert [status(guarded, who, "POST", asked, row) for who in ("reader", "writer", "owner", "admin", "writer")] == [
        403,
        401,
        200,
        200,
        401,
    ]
    assert [
        status(guarded, who, "GET", f"{asked}?annotation_ids=1") for who in ("owner", "reader", "writer", "admin")
    ] == [200, 401, 401, 200]
    assert [status(guarded, who, "DELETE", f"{TABLE}/owned") for who in ("writer", "owner")] == [401, 200]


def test_a_table_of_a_group_is_open_to_who_shares_one(guarded: Flask) -> None:
    words = {"description": "d", "voxel_resolution_x": 1, "voxel_resolution_y": 1, "voxel_resolution_z": 1}
    shared = {**words, "read_permission": "GROUP", "write_permission": "GROUP"}
    body = {"schema_type": "pt_bool_valid", "table_name": "shared", "metadata": shared}
    assert status(guarded, "owner", "POST", TABLE, body) == 200
    row = {"annotations": [{"pt": {"position": [1, 2, 3]}, "tag": True, "valid_id": 1}]}
    asked = f"{TABLE}/shared/annotations"
    people = ("colleague", "anybody", "writer", "admin", "colleague")
    assert [status(guarded, who, "POST", asked, row) for who in people] == [200, 401, 401, 200, 200]
    people = ("colleague", "anybody", "reader", "owner")
    assert [status(guarded, who, "GET", f"{asked}?annotation_ids=1") for who in people] == [200, 401, 401, 200]
    assert [status(guarded, who, "DELETE", f"{TABLE}/shared") for who in ("colleague", "owner")] == [401, 200]


def test_a_user_may_have_so_many_queries_running(guarded: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts(guarded), "slots", Slots(1))
    path, client = f"{STACK}/version/1/table/synapses/query", guarded.test_client()

    def asked(who: str) -> Any:
        return client.post(path, json={}, headers={"Authorization": f"Bearer {who}"})

    running = asked("reader")
    refused = asked("reader")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    other = asked("writer")
    assert other.status_code == 200 and other.data
    running.close()
    again = asked("reader")
    assert again.status_code == 200 and again.data
    assert status(guarded, "reader", "POST", path, {"limit": "x"}) == 400
    assert asked("reader").data


@pytest.fixture
def caller(guarded: Flask) -> FlaskClient:
    return guarded.test_client()


def test_a_token_comes_by_header_query_or_cookie(caller: FlaskClient) -> None:
    path = f"{STACK}/versions"
    assert caller.get(path, headers={"Authorization": "Bearer reader"}).status_code == 200
    assert caller.get(f"{path}?middle_auth_token=reader").status_code == 200
    caller.set_cookie("middle_auth_token", "reader")
    assert caller.get(path).status_code == 200
    assert caller.get(f"{path}?middle_auth_token=nobody").status_code == 401
    assert caller.get(f"{path}?middle_auth_token=nobody", headers={"Authorization": "Bearer reader"}).status_code == 200


def test_the_words_that_clients_look_for(caller: FlaskClient) -> None:
    nobody = caller.get(f"{STACK}/versions")
    assert nobody.json["error"] == "no_token" and nobody.headers["WWW-Authenticate"].startswith('Bearer realm="http')
    denied = caller.get(f"{STACK}/versions", headers={"Authorization": "Bearer stranger"})
    assert denied.json["error"] == "missing_permission"
    assert denied.json["data"] == {"required_permission": "view", "auth_dataset": "dataset"}
    odd = caller.get(f"{STACK}/versions", headers={"Authorization": "Basic x"})
    assert odd.status_code == 400 and odd.json["error"] == "bad_auth_header"


PERSON = {"Accept": "text/html,application/xhtml+xml"}


def test_a_person_is_led_to_the_login_and_a_program_is_not(caller: FlaskClient) -> None:
    path = f"{STACK}/versions?expired=True"
    answer = caller.get(path, headers=PERSON)
    assert answer.status_code == 302
    assert answer.location.endswith(f"/auth/api/v1/authorize?redirect={quote(f'http://localhost{path}', safe='')}")
    for sign in ({"Authorization": "Bearer nobody"}, {"X-Requested-With": "x"}, {"Origin": "http://localhost"}):
        assert caller.get(path, headers={**PERSON, **sign}).status_code == 401
    assert caller.post(f"{STACK}/version/1/table/nuclei/query", headers=PERSON).status_code == 401
    assert caller.get(path, headers={"Accept": "*/*"}).status_code == 401


def test_a_token_does_not_stay_in_the_address_of_a_page(caller: FlaskClient) -> None:
    path = f"{STACK}/versions"
    answer = caller.get(f"{path}?expired=True&middle_auth_token=reader", headers=PERSON)
    assert (answer.status_code, answer.location) == (302, f"http://localhost{path}?expired=True")
    cookie = answer.headers["Set-Cookie"]
    assert "middle_auth_token=reader" in cookie and "HttpOnly" in cookie and "SameSite=Lax" in cookie
    secure = caller.get(f"{path}?middle_auth_token=reader", headers=PERSON, base_url="https://localhost")
    assert "Secure" in secure.headers["Set-Cookie"]
    assert caller.get(f"{path}?middle_auth_token=nobody", headers=PERSON).status_code == 302
    assert caller.get(path, headers=PERSON).status_code == 200, "by the cookie"
    assert caller.get(f"{path}?middle_auth_token=reader").status_code == 200, "a program goes on as it came"


def test_a_page_of_another_host_cannot_write_with_my_cookie(caller: FlaskClient) -> None:
    path = f"{STACK}/version/1/table/nuclei/query"
    caller.set_cookie("middle_auth_token", "reader")
    asked = [caller.post(path, json={}, headers=origin).status_code for origin in ({}, HERE, ELSEWHERE)]
    assert asked == [200, 200, 401]
    assert caller.post(path, json={}, headers={**ELSEWHERE, "Authorization": "Bearer reader"}).status_code == 200


HERE, ELSEWHERE = {"Origin": "http://localhost"}, {"Origin": "http://evil.example"}


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("global.daf-apis.com/auth", "https://global.daf-apis.com"),
        ("https://global.daf-apis.com/auth/", "https://global.daf-apis.com"),
        ("http://127.0.0.1:5000/auth", "http://127.0.0.1:5000"),
        ("global.daf-apis.com/sticky_auth", "https://global.daf-apis.com"),
        ("", "http://here"),
    ],
)
def test_the_address_of_the_auth_service_is_written_as_cave_writes_it(address: str, server: str) -> None:
    assert Settings(auth_url=address, global_server="http://here").auth_server == server
    assert Settings(sticky_auth_url=address, auth_url="http://here/auth").login_server == server
