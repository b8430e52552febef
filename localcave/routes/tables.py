"""The table that a chunkedgraph request names, and the moments it may be asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flask import current_app

from localcave import wire
from localcave.errors import BadRequest, Frozen
from localcave.loaded import Loaded
from localcave.store import Store

View = TypeVar("View", bound=Callable[..., object])


def needs(permission: str, *, public: bool = False) -> Callable[[View], View]:
    """Mark a route with the permission it needs instead of `view`; a public dataset may be asked by anyone."""

    def mark(view: View) -> View:
        view.needs = permission  # type: ignore[attr-defined]
        view.public = public  # type: ignore[attr-defined]
        return view

    return mark


def store() -> Store:
    """Return what is served."""
    found: Store = current_app.extensions["localcave.store"]
    return found


@dataclass(frozen=True)
class Asked:
    """A table, and the last moment it tells about if it is virtual."""

    loaded: Loaded
    until_ms: int | None

    def moment(self, name: str = "timestamp", default: int | None = None) -> int:
        """Return a moment of the query string; without one the default, else now; never beyond the cap."""
        asked = wire.moment(name)
        if asked is None:
            asked = self.loaded.graph.clock.now_ms() if default is None else default
        return asked if self.until_ms is None else min(asked, self.until_ms)

    def node(self, identity: int) -> int:
        """Return a node of the path, if this table may tell about it."""
        if identity >= 1 << 64:
            raise BadRequest(f"{identity} is no 64-bit id")
        if self.until_ms is not None and identity >> 56 > 1:
            view = self.loaded.graph.view()
            row = self.loaded.graph.row(identity, view)
            if row >= 0 and view.created_ms[row] > self.until_ms:
                raise Frozen(f"node {identity} was made after the moment this table shows")
        return identity


def asked(table: str) -> Asked:
    """Return the table of a path."""
    served = store().table(table)
    return Asked(served.loaded, served.until_ms)


def editable(table: str) -> Loaded:
    """Return the table of a path that is to be edited."""
    served = store().table(table)
    if served.until_ms is not None:
        raise Frozen(f"{table} shows one moment of {served.loaded.table}; edit that table instead")
    return served.loaded
