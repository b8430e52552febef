"""Who asks: one administrator when authorization is off, else the users of a token file."""

from __future__ import annotations

import json
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


@dataclass(frozen=True)
class User:
    """A user's record as the auth service tells it, and the token it goes by."""

    record: dict[str, Any]
    token: str

    @property
    def id(self) -> int:
        """The user's number."""
        return int(self.record["id"])

    def may(self, permission: str, dataset: str) -> bool:
        """Return whether the user holds a permission on a dataset."""
        return self.record["admin"] or permission in self.record["permissions_v2"].get(dataset, ())


class Users:
    """The users known here."""

    def __init__(self, users: list[User], *, required: bool) -> None:
        self.required = required
        self._users = users

    def by_token(self, token: str | None) -> User | None:
        """Return the user of a token; everyone is the administrator when authorization is off."""
        if not self.required:
            return self._users[0]
        return next((user for user in self._users if user.token == token), None)

    def by_ids(self, ids: list[int]) -> list[User]:
        """Return the users of some ids, in their order."""
        found = {user.id: user for user in self._users}
        return [found[number] for number in ids if number in found]


def nobody_in_particular() -> Users:
    """Return the users of a service whose authorization is off."""
    record = {**FIELDS, "id": 0, "name": NOBODY, "email": f"{NOBODY}@{NOBODY}.com", "admin": True}
    return Users([User(record, NOBODY)], required=False)


def from_file(path: Path) -> Users:
    """Read users from JSON: a list of records, each with at least `id` and `token`."""
    records = json.loads(path.read_text())
    users = []
    for record in records:
        if "id" not in record or not record.get("token"):
            raise ValueError(f"{path}: every user needs an id and a token")
        known = {key: value for key, value in record.items() if key != "token"}
        users.append(User({**FIELDS, **known}, record["token"]))
    return Users(users, required=True)
