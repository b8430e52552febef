"""The auth service: who a token belongs to and what they may do."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from localcave.errors import BadRequest, NotFound
from localcave.store import Loaded, Store
from localcave.users import EVERYTHING, User, Users

API = "/api/v1"
PUBLIC = (
    "/segmentation/api/",
    "/info/version",
    "/info/health",
    "/info/api/versions",
    "/schema/",
    "/localcave/",
)

routes = Blueprint("auth", __name__, url_prefix="/auth")


def token() -> str | None:
    """Return the token of the request: the header wins over the query, and that over the cookie."""
    header = request.headers.get("Authorization", "")
    if header.startswith("Bearer "):
        return header.removeprefix("Bearer ")
    return request.args.get("middle_auth_token") or request.cookies.get("middle_auth_token")


def demand_user() -> Response | None:
    """Return the refusal of a request that needs a user and has none."""
    users = _users()
    if not users.required or request.path.startswith(PUBLIC):
        return None
    header = request.headers.get("Authorization", "Bearer ")
    if not header.startswith("Bearer "):
        return _challenge(400, "bad_auth_header")
    user = users.by_token(token())
    if user is None:
        return _challenge(401, "invalid_token" if token() else "no_token")
    dataset = _dataset_of_path()
    if dataset and not user.may("view", dataset):
        data = {"required_permission": "view", "auth_dataset": dataset}
        refusal = jsonify({"error": "missing_permission", "data": data})
        refusal.status_code = 403
        return refusal
    return None


@routes.get(f"{API}/user/cache")
def user_cache() -> Response:
    return jsonify(_record(_me()))


@routes.get(f"{API}/user/token")
def user_token() -> Response:
    me = _me()
    return jsonify([{"id": me.id, "token": me.token, "user_id": me.id}] if _users().required else [])


@routes.get(f"{API}/user")
def user() -> Response:
    shown = ("id", "name", "email", "admin", "pi", "affiliations")
    return jsonify([{key: found.record[key] for key in shown} for found in _asked_users()])


@routes.get(f"{API}/username")
def username() -> Response:
    return jsonify([{"id": found.id, "name": found.record["name"]} for found in _asked_users()])


@routes.get(f"{API}/service/<namespace>/table/<table>/dataset")
def dataset(namespace: str, table: str) -> Response:
    found = _dataset(table)
    if found is None:
        raise NotFound(f"there is no {namespace} {table!r}")
    return jsonify(found.datastack)


@routes.get(f"{API}/user/<int:number>/permissions")
def permissions(number: int) -> Response:
    found = _users().by_ids([number])
    if not found:
        raise NotFound(f"there is no user {number}")
    record = _record(found[0])
    shown = ("id", "name", "groups", "permissions_v2", "permissions_v2_ignore_tos")
    return jsonify({key: record[key] for key in shown})


def _users() -> Users:
    users: Users = current_app.extensions["localcave.users"]
    return users


def _store() -> Store:
    store: Store = current_app.extensions["localcave.store"]
    return store


def _me() -> User:
    found = _users().by_token(token())
    if found is None:
        raise NotFound("this token has no user")
    return found


def _asked_users() -> list[User]:
    try:
        return _users().by_ids([int(part) for part in request.args.get("id", "").split(",") if part])
    except ValueError:
        raise BadRequest("id must be user numbers with commas between") from None


def _record(user: User) -> dict[str, Any]:
    if not user.record["admin"]:
        return user.record
    everything = {loaded.datastack: EVERYTHING for loaded in _store()}
    return {**user.record, "permissions_v2": everything, "permissions_v2_ignore_tos": everything}


def _dataset(name: str) -> Loaded | None:
    for loaded in _store():
        if name in (loaded.datastack, loaded.table, loaded.aligned_volume):
            return loaded
    return None


def _dataset_of_path() -> str | None:
    arguments = request.view_args or {}
    named = arguments.get("table") or arguments.get("name")
    found = _dataset(named) if named and request.blueprint in ("segmentation", "info") else None
    return found.datastack if found else None


def _challenge(status: int, error: str) -> Response:
    refusal = jsonify({"error": error})
    refusal.status_code = status
    realm = f"{request.url_root}auth/api/v1/authorize"
    refusal.headers["WWW-Authenticate"] = f'Bearer realm="{realm}", error="{error}"'
    return refusal
