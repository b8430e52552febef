"""Who asks and what they may: one administrator when authorization is off, else the users of a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIELDS: dict[str, Any] = {
    "parent_id": None,
    "service_account": False,
    "name": "",
    "email": "",
    "admin": False,
    "pi": "",
    "affiliations": [],
    "groups": [],
    "groups_admin": [],
    "permissions": {},
    "permissions_v2": {},
    "permissions_v2_ignore_tos": {},
    "missing_tos": [],
    "datasets_admin": [],
}
NOBODY = "AUTH_DISABLED"
EVERYTHING = ["view", "edit", "admin_view", "admin"]
LEGACY_LEVELS = {"view": 1, "edit": 2}


@dataclass(frozen=True)
class User:
    """A user's record as the auth service tells it, and the token it goes by."""

    record: dict[str, Any]
    token: str

    @property
    def id(self) -> int:
        """The user's number."""
        return int(self.record["id"])

    @property
    def admin(self) -> bool:
        """Whether everything is allowed."""
        return bool(self.record["admin"])

    def may(self, permission: str, dataset: str) -> bool:
        """Return whether the user holds a permission on a dataset, its terms of service accepted."""
        return self.admin or permission in self.record["permissions_v2"].get(dataset, ())

    def missing_tos(self, dataset: str) -> dict[str, Any] | None:
        """Return the terms of service that the user has to accept for a dataset, if any."""
        return next((tos for tos in self.record["missing_tos"] if tos["dataset_name"] == dataset), None)


@dataclass(frozen=True)
class Group:
    """Users who share permissions by dataset."""

    id: int
    name: str
    users: tuple[int, ...] = ()
    admins: tuple[int, ...] = ()
    permissions: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Terms:
    """What users of a dataset must accept first."""

    id: int
    name: str
    text: str = ""


@dataclass(frozen=True)
class Dataset:
    """What permissions are given on: by default each datastack is one, of its own name."""

    name: str
    id: int = 0
    tables: tuple[str, ...] = ()
    admins: tuple[int, ...] = ()
    public: bool = False
    tos: Terms | None = None


class Users:
    """The users known here, their groups, and the datasets."""

    def __init__(
        self,
        records: Iterable[dict[str, Any]],
        *,
        required: bool,
        groups: Iterable[Group] = (),
        datasets: Iterable[Dataset] = (),
        accepted: Path | None = None,
    ) -> None:
        self.required = required
        self.groups, self.datasets = tuple(groups), tuple(datasets)
        self._records = list(records)
        self._accepted_file = accepted
        self._lock = threading.Lock()
        self._accepted = _read_accepted(accepted)

    def by_token(self, token: str | None) -> User | None:
        """Return the user of a token; everyone is the administrator when authorization is off."""
        if not self.required:
            return self._user(self._records[0])
        return next((self._user(one) for one in self._records if token and one["token"] == token), None)

    def by_ids(self, ids: list[int]) -> list[User]:
        """Return the users of some ids, in their order."""
        found = {user.id: user for user in self.everyone()}
        return [found[number] for number in ids if number in found]

    def everyone(self) -> list[User]:
        """Return all users."""
        return [self._user(record) for record in self._records]

    def dataset_of(self, table: str) -> str | None:
        """Return the dataset to which the file gives a table."""
        return next((one.name for one in self.datasets if table in one.tables or table == one.name), None)

    def public(self, dataset: str) -> bool:
        """Return whether anyone may look at a dataset."""
        return any(one.public for one in self.datasets if one.name == dataset)

    def terms(self, number: int) -> Terms | None:
        """Return terms of service by number."""
        return next((one.tos for one in self.datasets if one.tos and one.tos.id == number), None)

    def accept(self, user: User, terms: Terms) -> None:
        """Remember that a user accepted terms of service."""
        with self._lock:
            self._accepted.add((user.id, terms.id))
            if self._accepted_file is not None:
                self._accepted_file.write_text(json.dumps(sorted(self._accepted)))

    def _user(self, given: dict[str, Any]) -> User:
        record = {**FIELDS, **{key: value for key, value in given.items() if key != "token"}}
        member = [group for group in self.groups if record["id"] in group.users]
        granted = _granted(record, member)
        missing = [one for one in self.datasets if one.name in granted and self._unaccepted(record["id"], one)]
        unready = {one.name for one in missing}
        record["permissions_v2_ignore_tos"] = granted
        record["permissions_v2"] = {name: held for name, held in granted.items() if name not in unready}
        record["missing_tos"] = [*record["missing_tos"], *(_missing(one) for one in missing)]
        record["permissions"] = {
            name: max((LEGACY_LEVELS.get(one, 0) for one in held), default=0) for name, held in granted.items()
        }
        record["groups"] = [*record["groups"], *(group.name for group in member)]
        led = [group.name for group in self.groups if record["id"] in group.admins]
        record["groups_admin"] = [*record["groups_admin"], *led]
        managed = [one.name for one in self.datasets if record["id"] in one.admins]
        record["datasets_admin"] = [*record["datasets_admin"], *managed]
        return User(record, str(given.get("token", NOBODY)))

    def _unaccepted(self, user_id: int, dataset: Dataset) -> bool:
        return dataset.tos is not None and (user_id, dataset.tos.id) not in self._accepted


def nobody_in_particular() -> Users:
    """Return the users of a service whose authorization is off."""
    record = {"id": 0, "name": NOBODY, "email": f"{NOBODY}@{NOBODY}.com", "admin": True, "token": NOBODY}
    return Users([record], required=False)


def from_file(path: Path, accepted: Path | None = None) -> Users:
    """Read users from JSON: a list of records with at least `id` and `token`, or an object with `users`, `groups`
    and `datasets`.
    """
    found = json.loads(path.read_text())
    content = {"users": found} if isinstance(found, list) else found
    for record in content["users"]:
        if "id" not in record or not record.get("token"):
            raise ValueError(f"{path}: every user needs an id and a token")
    try:
        groups = [_group(one) for one in content.get("groups", ())]
        datasets = [_dataset(number, one) for number, one in enumerate(content.get("datasets", ()), start=1)]
    except (TypeError, KeyError) as problem:
        raise ValueError(f"{path}: a group or dataset is not as docs/localcave.md says: {problem}") from problem
    return Users(content["users"], required=True, groups=groups, datasets=datasets, accepted=accepted)


def _group(one: dict[str, Any]) -> Group:
    permissions = tuple((name, tuple(held)) for name, held in one.get("permissions", {}).items())
    lists = {key: tuple(one.get(key, ())) for key in ("users", "admins")}
    return Group(id=one["id"], name=one["name"], permissions=permissions, **lists)


def _dataset(number: int, one: dict[str, Any]) -> Dataset:
    lists = {key: tuple(one.get(key, ())) for key in ("tables", "admins")}
    tos = Terms(**one["tos"]) if one.get("tos") else None
    return Dataset(name=one["name"], id=one.get("id", number), public=bool(one.get("public")), tos=tos, **lists)


def _granted(record: dict[str, Any], groups: list[Group]) -> dict[str, list[str]]:
    granted = {**record["permissions_v2"], **record["permissions_v2_ignore_tos"]}
    found = {name: list(held) for name, held in granted.items()}
    for group in groups:
        for name, held in group.permissions:
            found[name] = [*dict.fromkeys([*found.get(name, []), *held])]
    return found


def _missing(dataset: Dataset) -> dict[str, Any]:
    assert dataset.tos is not None
    return {
        "dataset_id": dataset.id,
        "dataset_name": dataset.name,
        "tos_id": dataset.tos.id,
        "tos_name": dataset.tos.name,
    }


def _read_accepted(path: Path | None) -> set[tuple[int, int]]:
    if path is None or not path.exists():
        return set()
    return {(user, terms) for user, terms in json.loads(path.read_text())}
