"""Where a resumed run goes on: what its finished units left behind decides which of them must be done again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Place(StrEnum):
    """Where the outcome of a unit lies until a later unit has made it part of the live tables or of a version."""

    STAGE = "staging tables of the run"
    BUILD = "the run's build"


_PLACES = {
    "bulk_load": Place.STAGE,
    "update_roots": Place.STAGE,
    "freeze": Place.BUILD,
    "incremental": Place.BUILD,
    "views": Place.BUILD,
    "mend": Place.BUILD,
}
_LASTING = frozenset({"bulk_load.publish", "update_roots.apply", "freeze.publish", "mend.swap_in"})
"""They read what lies in their place, and leave it nothing: what they did stands in live tables or a version."""


@dataclass(frozen=True, slots=True)
class UnitGroup:
    """The units of one action in one step of a run."""

    position: int
    action: str
    done: bool


def place(action: str) -> Place | None:
    """The place that units of an action fill or read; None where their outcome lies in live tables alone."""
    return _PLACES.get(action.partition(".")[0])


def lost(units: Iterable[UnitGroup], gone: Collection[Place]) -> tuple[UnitGroup, ...]:
    """Units whose outcome is gone although units that are not done yet need it.

    A place that nobody needs any more may be gone: a run that failed in its freeze does not update its roots again.
    """
    units = tuple(units)
    needed = {place(unit.action) for unit in units if not unit.done}
    return tuple(
        unit
        for unit in units
        if (where := place(unit.action)) in gone and where in needed and unit.action not in _LASTING
    )
