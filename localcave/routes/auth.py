"""The auth service: who a token belongs to and what they may do; and the guard before every other route."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, jsonify, redirect, request

from localcave.errors import BadRequest, NotFound
from localcave.routes.tables import store
from localcave.users import EVERYTHING, User, Users

API = "/api/v1"
COOKIE = "middle_auth_token"
PUBLIC = (
    "/segmentation/api/version",  # and versions
    "/info/version",
    "/info/health",
    "/info/api/versions",
    "/schema/",
    "/localcave/",
    "/static/",
    f"/auth{API}/authorize",
)

routes = Blueprint("auth", __name__, url_prefix="/auth")


def token() -> str | None:
    """Return the token of the request: the header wins over the query, and that over the cookie."""
    header = request.headers.get("Authorization", "")
    if header.startswith("Bearer "):
        return header.removeprefix("Bearer ")
    return request.args.get(COOKIE) or request.cookies.get(COOKIE)


def me() -> User:
    """Return the user who asks."""
    found = users().by_token(token())
    if found is None:
        raise NotFound("this token has no user")
    return found


def users() -> Users:
    """Return the users known here."""
    found: Users = current_app.extensions["localcave.users"]
    return found


def guard() -> Response | None:
    """Return the refusal of a request whose user may not make it."""
    view = current_app.view_functions.get(request.endpoint or "")
    if not users().required or view is None or request.method == "OPTIONS":
        return None
    if _browser() and COOKIE in request.args and users().by_token(token()):
        return _remembering()
    if request.path.startswith(PUBLIC):
        return None
    dataset = _dataset_of_path()
    if dataset and getattr(view, "public", False) and users().public(dataset):
        return None
    return _refusal(getattr(view, "needs", "view"), dataset)


def _refusal(needed: str, dataset: str | None) -> Response | None:
    if not request.headers.get("Authorization", "Bearer ").startswith("Bearer "):
        return _challenge(400, "bad_auth_header", "invalid_request")
    user = users().by_token(token())
    if user is None:
        return _challenge(401, "invalid_token" if token() else "no_token")
    if needed == "superadmin":
        return None if user.admin else Response("Requires superadmin privilege.", 403, mimetype="text/plain")
    if dataset is None or user.may(needed, dataset):
        return None
    return _missing(user, needed, dataset)


@routes.get(f"{API}/user/cache")
def user_cache() -> Response:
    return jsonify(_record(me()))


@routes.get(f"{API}/user/token")
def user_token() -> Response:
    user = me()
    return jsonify([{"id": user.id, "token": user.token, "user_id": user.id}] if users().required else [])


@routes.post(f"{API}/create_token")
def create_token() -> Response:
    return jsonify(me().token)


@routes.get(f"{API}/user")
def user() -> Response:
    shown = ("id", "name", "email", "admin", "pi", "affiliations")
    return jsonify([{key: found.record[key] for key in shown} for found in _asked_users()])


@routes.get(f"{API}/username")
def username() -> Response:
    return jsonify([{"id": found.id, "name": found.record["name"]} for found in _asked_users()])


@routes.get(f"{API}/group/<int:number>/user")
def group_users(number: int) -> Response:
    for group in users().groups:
        if group.id == number:
            members = users().by_ids(list(group.users))
            shown = [{"id": one.id, "name": one.record["name"], "admin": one.id in group.admins} for one in members]
            return jsonify(shown)
    raise NotFound(f"there is no group {number}")


@routes.get(f"{API}/dataset")
def datasets() -> Response:
    return jsonify([{"id": number, "name": name} for number, name in enumerate(_known_datasets(), start=1)])


@routes.get(f"{API}/service/<namespace>/table/<table>/dataset")
def dataset(namespace: str, table: str) -> Response:
    found = _dataset(table)
    if found is None:
        raise NotFound(f"there is no {namespace} {table!r}")
    return jsonify(found)


@routes.get(f"{API}/table/<table>/has_public")
@routes.get(f"{API}/table/<table>/root/<int:root>/is_public")
def is_public(table: str, root: int = 0) -> Response:
    found = _dataset(table)
    return jsonify(found is not None and users().public(found))


@routes.post(f"{API}/table/<table>/root_all_public")
def root_all_public(table: str) -> Response:
    return is_public(table)


@routes.get(f"{API}/user/<int:number>/permissions")
def permissions(number: int) -> Response:
    found = users().by_ids([number])
    if not found:
        raise NotFound(f"there is no user {number}")
    record = _record(found[0])
    shown = ("id", "name", "groups", "permissions_v2", "permissions_v2_ignore_tos")
    return jsonify({key: record[key] for key in shown})


@routes.get(f"{API}/tos/<int:number>")
def terms(number: int) -> Response:
    found = users().terms(number)
    if found is None:
        raise NotFound(f"there are no terms of service {number}")
    return jsonify({"id": found.id, "name": found.name, "text": found.text})


@routes.post(f"{API}/tos/<int:number>/accept")
def accept_terms(number: int) -> Response:
    found = users().terms(number)
    if found is None:
        raise NotFound(f"there are no terms of service {number}")
    users().accept(me(), found)
    return jsonify({"id": found.id, "name": found.name})


@routes.get(f"{API}/authorize")
def authorize() -> Response:
    """Ask for a token; the form leads back to where the browser came from."""
    return current_app.send_static_file("authorize.html")


def _asked_users() -> list[User]:
    try:
        return users().by_ids([int(part) for part in request.args.get("id", "").split(",") if part])
    except ValueError:
        raise BadRequest("id must be user numbers with commas between") from None


def _record(user: User) -> dict[str, Any]:
    if not user.admin:
        return user.record
    everything = dict.fromkeys(_known_datasets(), EVERYTHING)
    return {**user.record, "permissions_v2": everything, "permissions_v2_ignore_tos": everything}


def _known_datasets() -> list[str]:
    return [*dict.fromkeys([*(loaded.datastack for loaded in store()), *(one.name for one in users().datasets)])]


def _dataset(name: str) -> str | None:
    given = users().dataset_of(name)
    if given is not None:
        return given
    known = store().table_named(name)
    if known is not None:
        return _dataset(known.datastack) if name != known.datastack else known.datastack
    return None


def _dataset_of_path() -> str | None:
    arguments = request.view_args or {}
    named = arguments.get("table") or arguments.get("name")
    return _dataset(named) if named and request.blueprint != "auth" else None


def _browser() -> bool:
    """Return whether a person looks at this; a client that names no kind of answer is a program."""
    asked = {"Authorization", "X-Requested-With", "Origin"}
    return not any(name in request.headers for name in asked) and "text/html" in request.headers.get("Accept", "")


def _challenge(status: int, error: str, kind: str | None = None) -> Response:
    realm = f"{request.url_root}auth{API}/authorize"
    if _browser() and status == 401:
        return _redirect(f"{realm}?{urlencode({'redirect': request.url})}")
    refusal = jsonify({"error": error})
    refusal.status_code = status
    refusal.headers["WWW-Authenticate"] = f'Bearer realm="{realm}", error="{kind or error}"'
    return refusal


def _missing(user: User, needed: str, dataset: str) -> Response:
    terms = user.missing_tos(dataset)
    if terms is None:
        error, data = "missing_permission", {"required_permission": needed, "auth_dataset": dataset}
    else:
        form = f"{request.url_root}auth{API}/tos/{terms['tos_id']}/accept"
        error, data = "missing_tos", {"tos_id": terms["tos_id"], "tos_name": terms["tos_name"], "tos_form_url": form}
    refusal = jsonify({"error": error, "data": data})
    refusal.status_code = 403
    return refusal


def _remembering() -> Response:
    """Put the token of the query into a cookie, so that it does not stay in the address."""
    kept = {name: value for name, value in request.args.items() if name != COOKIE}
    answer = _redirect(request.base_url + (f"?{urlencode(kept)}" if kept else ""))
    answer.set_cookie(COOKIE, request.args[COOKIE], httponly=True)
    return answer


def _redirect(address: str) -> Response:
    answer = redirect(address)
    assert isinstance(answer, Response)
    return answer
