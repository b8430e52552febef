"""Who asks, and whether they may: tokens as CAVE sends them, permissions of datastacks and volumes, of tables.

One place decides; what a caller may do is asked of `gateways.auth`, which keeps answers by token, never by table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, TypeVar, cast

from flask import g, request

from ..domain.errors import BadRequest, TableDenied
from ..gateways.auth import User
from ..storage.models import AnnotationTable, Permission
from .browsers import TOKEN, from_here
from .parts import parts
from .rates import Rates

View = TypeVar("View", bound=Callable[..., Any])


def token() -> str | None:
    """The caller's token: header before query before cookie. Raises BadRequest for a header that holds none."""
    header = request.headers.get("Authorization", "")
    if header:
        scheme, _, value = header.partition(" ")
        if scheme != "Bearer" or not value.strip():
            raise BadRequest("Authorization must be `Bearer TOKEN`", error="bad_auth_header")
        return value.strip()
    return request.args.get(TOKEN) or (request.cookies.get(TOKEN) if from_here() else None)


class Level(StrEnum):
    """What a caller must hold to be let in."""

    OPEN = "nothing"
    LOGIN = "a token"
    VIEW = "view"
    EDIT = "edit"
    DATASET_ADMIN = "dataset administrator"
    ADMIN = "administrator"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who is let into a view; `namespace` is the word of the path whose dataset decides, where one does."""

    level: Level
    namespace: str = ""


def rule_of(view: Callable[..., Any]) -> Rule | None:
    """The rule that guards a view; None for one that nobody has thought about."""
    return cast("Rule | None", getattr(view, "rule", None))


def needs(permission: str, namespace: str = "datastack") -> Callable[[View], View]:
    """Let in who has the permission for the datastack, or aligned volume, named in the path."""
    return _guarded(Rule(Level(permission), namespace))


def needs_dataset_admin(view: View) -> View:
    """Let in who administers the dataset of the datastack named in the path."""
    return _guarded(Rule(Level.DATASET_ADMIN, "datastack"))(view)


def needs_admin(view: View) -> View:
    """Let in the site's administrators."""
    return _guarded(Rule(Level.ADMIN))(view)


def needs_login(view: View) -> View:
    """Let in whoever has a token; the view itself looks at what may be seen."""
    return _guarded(Rule(Level.LOGIN))(view)


def open_to_all(view: View) -> View:
    """Let in everybody: for health, versions and the description of the API, and for nothing else."""
    return _guarded(Rule(Level.OPEN))(view)


def _guarded(rule: Rule) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if rule.level is not Level.OPEN:
                g.user = _let_in(rule, kwargs.get(rule.namespace, ""))
                _count(view.__name__)
            return view(*args, **kwargs)

        guarded.rule = rule  # type: ignore[attr-defined]
        return cast(View, guarded)

    return decorate


def _let_in(rule: Rule, name: str) -> User:
    auth, held = parts().auth, token()
    match rule.level:
        case Level.ADMIN:
            return auth.require_admin(held)
        case Level.DATASET_ADMIN:
            return auth.require_dataset_admin(held, rule.namespace, name)
        case Level.LOGIN:
            return auth.user(held)
    return auth.require(held, rule.level.value, rule.namespace, name)


def _count(endpoint: str) -> None:
    """Raises TooManyRequests."""
    known, asks = parts(), user()
    if known.rates != Rates():
        limits = known.rates.of(_category(endpoint), endpoint, asks.service_account)
        known.counter.count(limits, asks.id, endpoint)


def _category(endpoint: str) -> str:
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return "fast_query"
    return "query" if endpoint.startswith("query_") else "write"


def user() -> User:
    """Who asks; known inside a guarded view."""
    return cast(User, g.user)


def check_read(table: AnnotationTable) -> None:
    """Raises TableDenied for a table that its owner keeps from the caller."""
    if not may_read(table):
        raise TableDenied(f"table {table.table_name} can be read by {_who(table, table.read_permission)}")


def may_read(table: AnnotationTable) -> bool:
    """Whether the table's owner lets the caller read it."""
    return _may(table, table.read_permission)


def check_write(table: AnnotationTable) -> None:
    """Raises TableDenied for a table that the caller may not write to."""
    if not _may(table, table.write_permission):
        raise TableDenied(f"table {table.table_name} can be changed by {_who(table, table.write_permission)}")


def check_owner(table: AnnotationTable) -> None:
    """Raises TableDenied unless the table is the caller's own, or the caller administers the site."""
    if not _owns(table):
        raise TableDenied(f"table {table.table_name} belongs to user {table.user_id}; only its owner may do that")


def _may(table: AnnotationTable, permission: Permission) -> bool:
    if permission is Permission.PUBLIC or _owns(table):
        return True
    return permission is Permission.GROUP and _shares_group(table)


def _shares_group(table: AnnotationTable) -> bool:
    """Asked of the auth service for the owner, whose groups may change; groups that hold everybody can be excluded."""
    excluded = {name.strip() for name in parts().settings.excluded_groups.split(",")}
    mine = user().groups - excluded
    return bool(mine) and not mine.isdisjoint(parts().auth.groups_of(table.user_id, token()))


def _who(table: AnnotationTable, permission: Permission) -> str:
    shared = " and whoever shares a group with them" if permission is Permission.GROUP else ""
    return f"its owner, user {table.user_id},{shared} only"


def _owns(table: AnnotationTable) -> bool:
    return user().admin or table.user_id == str(user().id)
