"""From errors to answers: one table, one shape, and never a traceback."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import structlog
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from ..domain import errors
from . import browsers
from .extensions import DATABASE_DOWN

log = structlog.get_logger(__name__)

STATUS: Mapping[type[Exception], int] = {
    errors.UserMistake: HTTPStatus.BAD_REQUEST,
    errors.NotLoggedIn: HTTPStatus.UNAUTHORIZED,
    # CAVE answers a table that its owner keeps back with 401, and its clients know that.
    errors.TableDenied: HTTPStatus.UNAUTHORIZED,
    errors.NotAllowed: HTTPStatus.FORBIDDEN,
    errors.Unknown: HTTPStatus.NOT_FOUND,
    errors.MissingLookups: HTTPStatus.NOT_ACCEPTABLE,
    errors.NotOffered: HTTPStatus.NOT_ACCEPTABLE,
    errors.KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnreadableForm: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.TooManyQueries: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.QueryTimeout: HTTPStatus.REQUEST_TIMEOUT,
    errors.BackDated: HTTPStatus.CONFLICT,
    errors.TableExists: HTTPStatus.CONFLICT,
    errors.RunInProgress: HTTPStatus.CONFLICT,
    errors.AlreadySuperseded: HTTPStatus.CONFLICT,
    errors.NoRoom: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.VersionNotAvailable: HTTPStatus.GONE,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NewerDatabase: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.GatewayRefused: HTTPStatus.BAD_GATEWAY,
    errors.GatewayAnswer: HTTPStatus.BAD_GATEWAY,
    errors.VolumeUnreadable: HTTPStatus.BAD_GATEWAY,
    errors.NeighborDown: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.MaterializationError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def init_app(app: Flask) -> None:
    """Let every error of the application end here."""
    app.register_error_handler(errors.MaterializationError, answer_error)
    app.register_error_handler(HTTPException, _http)
    for kind in DATABASE_DOWN:
        app.register_error_handler(kind, _database_down)
    app.register_error_handler(Exception, _unexpected)


def status_of(error: errors.MaterializationError) -> int:
    """The status of an error: that of its nearest class in the table."""
    return next(int(STATUS[kind]) for kind in type(error).__mro__ if kind in STATUS)


def answer(
    status: int,
    message: str,
    error: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The one shape. `data` stands at the top as well, where CAVE's clients look for it."""
    details = dict(details or {})
    body: dict[str, Any] = {"code": status, "message": message, "error": error}
    if "data" in details:
        body["data"] = details.pop("data")
    body |= {"details": details, "request_id": g.get("request_id")}
    text = json.dumps(body, default=str) + "\n"
    return Response(text, status, headers=dict(headers or {}), content_type="application/json")


def answer_error(error: errors.MaterializationError) -> Response:
    """The answer to an error of ours; a person is led to what is missing."""
    if browsers.is_person():
        if isinstance(error, errors.NotLoggedIn):
            return browsers.to_login()
        if error.details.get("error") == "missing_tos":
            return browsers.to_terms(str(cast(dict[str, Any], error.details["data"])["tos_form_url"]))
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", error=str(error), traceback=traceback.format_exception(error))
    details = dict(error.details)
    word = str(details.pop("error", _word(type(error).__name__)))
    return answer(status, error.message, word, details, _headers(error, word))


def _database_down(error: Exception) -> Response:
    log.warning("database is down", error=str(error))
    return answer_error(errors.StorageUnavailable(retry_after=5.0))


def _headers(error: errors.MaterializationError, word: str) -> dict[str, str]:
    if isinstance(error, errors.NeighborDown):
        return {"Retry-After": str(max(1, round(error.retry_after)))}
    if isinstance(error, errors.TooManyQueries | errors.TooManyRequests):
        return {"Retry-After": str(error.details.get("retry_after", 1))}
    if isinstance(error, errors.NotLoggedIn) or word == "bad_auth_header":
        realm = f'Bearer realm="{browsers.login_page()}"'
        return {"WWW-Authenticate": realm if word == "no_token" else f'{realm}, error="{word}"'}
    return {}


def _http(error: HTTPException) -> Response:
    """Errors of the web framework: an unknown address, a wrong method, a body too large."""
    status = error.code or int(HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return answer(status, error.description or error.name, _word(error.name.replace(" ", "")), None, headers)


def _unexpected(error: Exception) -> Response:
    """A fault of ours: the caller gets an id, the log the rest."""
    log.error("unexpected error", traceback=traceback.format_exception(error))
    told = f"something went wrong here; tell us the request id {g.get('request_id')}"
    return answer(int(HTTPStatus.INTERNAL_SERVER_ERROR), told, "internal_error")


def _word(name: str) -> str:
    """`UnknownTable` to `unknown_table`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
