"""Who may do what, by a small auth service."""

from __future__ import annotations

import pytest

from materializationengine.domain.errors import (
    BadRequest,
    GatewayAnswer,
    GatewayRefused,
    GatewayUnavailable,
    NotAllowed,
    NotLoggedIn,
)
from materializationengine.gateways.auth import AuthDisabled, AuthService, MissingTerms, User

from .servers import Answer, Request


def record(number: int, **more: object) -> dict[str, object]:
    return {"id": number, "name": f"User {number}", "email": f"{number}@lab.org", "admin": False} | more


RECORDS = {
    "ada": record(
        1,
        permissions_v2={"minnie": ["view", "edit"]},
        permissions_v2_ignore_tos={"minnie": ["view", "edit"], "v1dd": ["view"]},
        datasets_admin=["minnie"],
        groups=["lab"],
        missing_tos=[{"dataset_id": 2, "dataset_name": "v1dd", "tos_id": 7, "tos_name": "V1DD terms"}],
    ),
    "bot": record(2, service_account=True, parent_id=1, permissions_v2={"minnie": ["view"]}),
    "root": record(3, admin=True),
}
DATASETS = {"minnie65": "minnie", "v1dd_stack": "v1dd"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def auth(request: Request) -> Answer:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if request.path == "/auth/api/v1/user/cache":
        found = RECORDS.get(token)
        return Answer.of(found) if found else Answer.of({"error": "invalid_token"}, 401)
    name = request.path.removeprefix("/auth/api/v1/service/datastack/table/").removesuffix("/dataset")
    return Answer.of(DATASETS[name]) if name in DATASETS else Answer.of({"message": "unknown"}, 404)


def test_a_user(serve):
    assert AuthService(serve(auth).url).user("ada") == User(
        id=1,
        name="User 1",
        email="1@lab.org",
        groups=frozenset({"lab"}),
        permissions={"minnie": frozenset({"view", "edit"})},
        permissions_ignoring_terms={"minnie": frozenset({"view", "edit"}), "v1dd": frozenset({"view"})},
        datasets_admin=frozenset({"minnie"}),
        missing_terms=(MissingTerms("v1dd", 7, "V1DD terms"),),
    )
    assert AuthService(serve(auth).url).user("bot").service_account


@pytest.mark.parametrize(("token", "error"), [(None, "no_token"), ("", "no_token"), ("eve", "invalid_token")])
def test_a_stranger(serve, token, error):
    with pytest.raises(NotLoggedIn) as caught:
        AuthService(serve(auth).url).user(token)
    assert caught.value.details["error"] == error


def test_permissions(serve):
    service = AuthService(serve(auth).url, "engine")
    assert service.require("ada", "edit", "datastack", "minnie65").id == 1
    assert service.require("bot", "view", "datastack", "minnie65").id == 2
    with pytest.raises(NotAllowed, match="needs the permission edit in minnie") as caught:
        service.require("bot", "edit", "datastack", "minnie65")
    assert caught.value.details == {
        "error": "missing_permission",
        "data": {"required_permission": "edit", "auth_dataset": "minnie"},
    }


def test_terms_of_service(serve):
    server = serve(auth)
    with pytest.raises(NotAllowed, match="terms of service 'V1DD terms'") as caught:
        AuthService(server.url).require("ada", "view", "datastack", "v1dd_stack")
    form = f"{server.url}/auth/api/v1/tos/7/accept"
    assert caught.value.details == {
        "error": "missing_tos",
        "data": {"tos_id": 7, "tos_name": "V1DD terms", "tos_form_url": form},
    }
    with pytest.raises(NotAllowed) as caught:
        AuthService(server.url).require("ada", "edit", "datastack", "v1dd_stack")
    assert caught.value.details["error"] == "missing_permission", "accepting would not help"


def test_roles(serve):
    service = AuthService(serve(auth).url)
    assert service.require_dataset_admin("ada", "datastack", "minnie65").id == 1
    with pytest.raises(NotAllowed) as caught:
        service.require_dataset_admin("bot", "datastack", "minnie65")
    assert caught.value.details["error"] == "missing_role"
    assert caught.value.details["data"] == {"required_role": "dataset_admin", "auth_dataset": "minnie"}
    assert service.require_admin("root").id == 3
    with pytest.raises(NotAllowed, match="site administrator"):
        service.require_admin("ada")


def test_an_unknown_datastack(serve):
    with pytest.raises(BadRequest, match="knows no datastack 'other'") as caught:
        AuthService(serve(auth).url).require("ada", "view", "datastack", "other")
    assert caught.value.details == {
        "error": "invalid_table_id",
        "data": {"table_id": "other", "resource_namespace": "datastack"},
    }


def test_which_token_asks_for_the_dataset(serve):
    server = serve(auth)
    AuthService(server.url, "engine").dataset_of("datastack", "minnie65", "ada")
    AuthService(server.url).dataset_of("datastack", "minnie65", "ada")
    assert [r.headers["authorization"] for r in server.requests] == ["Bearer engine", "Bearer ada"]


def test_answers_are_kept_per_token(serve):
    clock, server = Clock(), serve(auth)
    service = AuthService(server.url, ttl=300, clock=clock)
    for _ in range(3):
        assert service.require("ada", "view", "datastack", "minnie65").id == 1
        assert service.user("bot").id == 2
    assert len(server.requests) == 3, "two users and one dataset"
    clock.now = 301
    service.user("ada")
    assert len(server.requests) == 4


def test_a_denial_is_asked_again_but_not_over_and_over(serve):
    clock = Clock()
    mine = dict(RECORDS["bot"])
    server = serve(lambda r: Answer.of(mine) if r.path.endswith("cache") else auth(r))
    service = AuthService(server.url, clock=clock)
    for _ in range(5):
        with pytest.raises(NotAllowed):
            service.require("bot", "edit", "datastack", "minnie65")
    assert len(server.requests) == 2
    mine["permissions_v2"] = {"minnie": ["view", "edit"]}
    clock.now = 20
    assert service.require("bot", "edit", "datastack", "minnie65").id == 2
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "garbled", [[], {}, {"id": None}, {"id": 1, "permissions_v2": ["view"]}, {"id": 1, "missing_tos": [{}]}]
)
def test_a_garbled_record(serve, garbled):
    with pytest.raises(GatewayAnswer, match="user record"):
        AuthService(serve(lambda request: Answer.of(garbled)).url).user("ada")


def test_a_refusal_that_is_not_the_users_fault(serve):
    """No auth service at that address, and an engine whose own token is refused."""
    with pytest.raises(GatewayRefused, match="answered 404"):
        AuthService(serve(lambda request: Answer(404)).url).user("ada")
    with pytest.raises(GatewayRefused, match="answered 403"):
        AuthService(serve(lambda request: Answer(403)).url, "engine").dataset_of("datastack", "minnie65")


def test_the_service_is_down(serve):
    server = serve(auth)
    server.always = Answer(503)
    with pytest.raises(GatewayUnavailable, match="auth service at"):
        AuthService(server.url, retries=0).user("ada")


def test_disabled():
    everybody = AuthDisabled()
    assert everybody.user(None) == everybody.require("x", "edit", "datastack", "any")
    assert (everybody.user(None).id, everybody.user(None).admin) == (0, True)
    assert everybody.require_admin(None) == everybody.require_dataset_admin(None, "datastack", "any")


def test_groups_of_somebody_else_are_asked_once(serve):
    asked = []

    def answering(request: Request) -> Answer:
        asked.append((request.path, request.headers.get("authorization")))
        known = request.path == "/auth/api/v1/user/1/permissions"
        return Answer.of({"id": 1, "groups": ["lab", "all"]}) if known else Answer.of({"message": "no"}, 404)

    service = AuthService(serve(answering).url, "ours")
    assert [service.groups_of("1", "bot") for _ in range(2)] == [frozenset({"lab", "all"})] * 2
    assert service.groups_of("9", "bot") == service.groups_of("9/../1", "bot") == frozenset()
    assert asked == [
        ("/auth/api/v1/user/1/permissions", "Bearer ours"),
        ("/auth/api/v1/user/9/permissions", "Bearer ours"),
    ]
