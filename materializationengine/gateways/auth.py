"""Who asks, and what they may do, as CAVE's auth service tells it (outside_services.md 5.2, rest_api.md 1.0).

Refusals are NotLoggedIn, NotAllowed and BadRequest whose `details` hold `error` and `data`, the words that
CAVE clients look for; the web layer puts them into bodies and headers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from cachetools import TTLCache

from ..domain.errors import BadRequest, GatewayAnswer, GatewayRefused, NotAllowed, NotLoggedIn
from .http import HttpService, Token, held

FRESH = 15.0
"""Seconds: a record younger than this is not asked again when it denies, lest denials flood the service."""


@dataclass(frozen=True, slots=True)
class MissingTerms:
    """Terms of service of a dataset that a user has not accepted."""

    dataset: str
    tos_id: int
    name: str


@dataclass(frozen=True, slots=True)
class User:
    """A person or service account.

    `permissions` maps a dataset to what may be done in it (`view`, `edit`, ...); `permissions_ignoring_terms`,
    to what could be done once the terms of service were accepted.
    """

    id: int
    name: str = ""
    email: str = ""
    admin: bool = False
    service_account: bool = False
    groups: frozenset[str] = frozenset()
    permissions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    permissions_ignoring_terms: Mapping[str, frozenset[str]] = field(default_factory=dict)
    datasets_admin: frozenset[str] = frozenset()
    missing_terms: tuple[MissingTerms, ...] = ()


class Auth(Protocol):
    """What a door asks before it opens.

    `namespace` is `datastack` or `aligned_volume`, and `name` one of that kind. Every method also raises
    GatewayUnavailable.
    """

    def user(self, token: str | None) -> User:
        """Who holds the token. Raises NotLoggedIn."""
        ...

    def require(self, token: str | None, permission: str, namespace: str, name: str) -> User:
        """The user, who has `permission` there. Raises NotLoggedIn, NotAllowed, BadRequest."""
        ...

    def require_dataset_admin(self, token: str | None, namespace: str, name: str) -> User:
        """The user, who administers the dataset. Raises as `require`."""
        ...

    def require_admin(self, token: str | None) -> User:
        """The user, who administers the site. Raises NotLoggedIn, NotAllowed."""
        ...

    def groups_of(self, user: str, token: str | None) -> frozenset[str]:
        """The groups of another user; none where the service tells nothing of them."""
        ...


class AuthDisabled:
    """Everybody is the administrator, user 0: for development behind closed doors."""

    _EVERYBODY = User(id=0, name="AUTH_DISABLED", email="AUTH_DISABLED@AUTH.DISABLED", admin=True)

    def user(self, token: str | None) -> User:
        """User 0."""
        return self._EVERYBODY

    def require(self, token: str | None, permission: str, namespace: str, name: str) -> User:
        """User 0, who may do everything."""
        return self._EVERYBODY

    def require_dataset_admin(self, token: str | None, namespace: str, name: str) -> User:
        """User 0, who administers everything."""
        return self._EVERYBODY

    def require_admin(self, token: str | None) -> User:
        """User 0, who administers everything."""
        return self._EVERYBODY

    def groups_of(self, user: str, token: str | None) -> frozenset[str]:
        """None: there is nobody else."""
        return frozenset()


class AuthService:
    """CAVE's auth service under `server`/auth. Answers are kept per token for `ttl` seconds.

    `token` is the engine's own, for the mapping of datastacks to datasets; without one the user's is sent.
    """

    def __init__(
        self,
        server: str,
        token: Token = None,
        *,
        ttl: float = 300.0,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 0.3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = HttpService("auth service", server, timeout=timeout, retries=retries, backoff=backoff)
        self._token = token
        self._clock = clock
        self._users: TTLCache[str, tuple[float, User]] = TTLCache(maxsize=1024, ttl=ttl, timer=clock)
        self._datasets: TTLCache[tuple[str, str], str] = TTLCache(maxsize=1024, ttl=ttl, timer=clock)
        self._groups: TTLCache[str, frozenset[str]] = TTLCache(maxsize=1024, ttl=ttl, timer=clock)
        self._lock = threading.Lock()

    def user(self, token: str | None) -> User:
        """Who holds the token. Raises NotLoggedIn for no token and for one the service doesn't know."""
        return self._seen(token)[1]

    def dataset_of(self, namespace: str, name: str, token: str | None = None) -> str:
        """The dataset whose permissions rule `name`. Raises BadRequest for an unknown name."""
        with self._lock:
            known = self._datasets.get((namespace, name))
        if known is None:
            known = self._fetch_dataset(namespace, name, token)
            with self._lock:
                self._datasets[namespace, name] = known
        return known

    def require(self, token: str | None, permission: str, namespace: str, name: str) -> User:
        """The user, who has `permission` there. A denial is asked anew: it may have been granted just now."""
        user = self.user(token)
        dataset = self.dataset_of(namespace, name, token)
        if permission not in user.permissions.get(dataset, ()):
            user = self._again(token)
        if permission in user.permissions.get(dataset, ()):
            return user
        raise _denied(user, permission, dataset, f"{self._service.server}/auth/api/v1/tos")

    def require_dataset_admin(self, token: str | None, namespace: str, name: str) -> User:
        """The user, who administers the dataset of `name`."""
        user = self.user(token)
        dataset = self.dataset_of(namespace, name, token)
        if dataset not in user.datasets_admin:
            raise NotAllowed(
                f"this needs the role dataset_admin in {dataset}",
                error="missing_role",
                data={"required_role": "dataset_admin", "auth_dataset": dataset},
            )
        return user

    def require_admin(self, token: str | None) -> User:
        """The user, who administers the site."""
        user = self.user(token)
        if not user.admin:
            raise NotAllowed("this needs a site administrator", error="missing_admin")
        return user

    def groups_of(self, user: str, token: str | None) -> frozenset[str]:
        """The groups of another user, as `/user/ID/permissions` tells them; kept by user for `ttl` seconds."""
        with self._lock:
            known = self._groups.get(user)
        if known is None:
            known = self._fetch_groups(user, token)
            with self._lock:
                self._groups[user] = known
        return known

    def _fetch_groups(self, user: str, token: str | None) -> frozenset[str]:
        if not (user.isascii() and user.isdecimal()):
            # Tables adopted from elsewhere may name an owner that is no user at all.
            return frozenset()
        path = f"/auth/api/v1/user/{user}/permissions"
        try:
            record = self._service.json("GET", path, token=held(self._token) or token)
        except GatewayRefused as error:
            if error.details["status"] not in (400, 401, 403, 404):
                raise
            return frozenset()
        groups = record.get("groups") if isinstance(record, dict) else None
        return frozenset(str(group) for group in groups or ())

    def _seen(self, token: str | None) -> tuple[float, User]:
        if not token:
            raise NotLoggedIn("this needs a token", error="no_token")
        with self._lock:
            known = self._users.get(token)
        return known or self._ask(token)

    def _ask(self, token: str) -> tuple[float, User]:
        record = self._fetch_user(token)
        seen = (self._clock(), record)
        with self._lock:
            self._users[token] = seen
        return seen

    def _again(self, token: str | None) -> User:
        asked, user = self._seen(token)
        if token and self._clock() - asked >= FRESH:
            return self._ask(token)[1]
        return user

    def _fetch_user(self, token: str) -> User:
        try:
            record = self._service.json("GET", "/auth/api/v1/user/cache", token=token)
        except GatewayRefused as error:
            if error.details["status"] not in (401, 403):
                raise
            raise NotLoggedIn("the token is invalid or has expired", error="invalid_token") from error
        try:
            return _user(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GatewayAnswer(f"the auth service's user record lacks or garbles {error}") from error

    def _fetch_dataset(self, namespace: str, name: str, token: str | None) -> str:
        path = f"/auth/api/v1/service/{quote(namespace, safe='')}/table/{quote(name, safe='')}/dataset"
        try:
            dataset = self._service.json("GET", path, token=held(self._token) or token)
        except GatewayRefused as error:
            if error.details["status"] not in (400, 404):
                raise
            raise BadRequest(
                f"the auth service knows no {namespace} {name!r}",
                error="invalid_table_id",
                data={"table_id": name, "resource_namespace": namespace},
            ) from error
        if not isinstance(dataset, str):
            raise GatewayAnswer(f"the auth service's dataset of {namespace} {name} is not a name")
        return dataset


def _denied(user: User, permission: str, dataset: str, terms_url: str) -> NotAllowed:
    terms = next((t for t in user.missing_terms if t.dataset == dataset), None)
    if terms and permission in user.permissions_ignoring_terms.get(dataset, ()):
        form = f"{terms_url}/{terms.tos_id}/accept"
        return NotAllowed(
            f"the terms of service {terms.name!r} of {dataset} are not accepted yet: {form}",
            error="missing_tos",
            data={"tos_id": terms.tos_id, "tos_name": terms.name, "tos_form_url": form},
        )
    return NotAllowed(
        f"this needs the permission {permission} in {dataset}",
        error="missing_permission",
        data={"required_permission": permission, "auth_dataset": dataset},
    )


def _user(record: Mapping[str, Any]) -> User:
    return User(
        id=int(record["id"]),
        name=record.get("name") or "",
        email=record.get("email") or "",
        admin=bool(record.get("admin")),
        service_account=bool(record.get("service_account")),
        groups=frozenset(record.get("groups") or ()),
        permissions=_permissions(record.get("permissions_v2")),
        permissions_ignoring_terms=_permissions(record.get("permissions_v2_ignore_tos")),
        datasets_admin=frozenset(record.get("datasets_admin") or ()),
        missing_terms=tuple(_terms(terms) for terms in record.get("missing_tos") or ()),
    )


def _permissions(by_dataset: Mapping[str, list[str]] | None) -> Mapping[str, frozenset[str]]:
    return {dataset: frozenset(permissions) for dataset, permissions in (by_dataset or {}).items()}


def _terms(record: Mapping[str, Any]) -> MissingTerms:
    return MissingTerms(record["dataset_name"], int(record["tos_id"]), record["tos_name"])
