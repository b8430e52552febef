"""Which versions are over: a pure function of what is known of all versions of one live database."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Keep(StrEnum):
    """Why a version stays; the value is what a person reads."""

    FOREIGN = "belongs to another datastack"
    BUILDING = "is being made"
    OVER = "is over already"
    IN_USE = "an active run reads or mends it"
    PINNED = "is pinned"
    ENDLESS = "never expires"
    YOUNG = "has not expired yet"
    LAST = "is among the newest valid versions that stay"
    PARENT = "a virtual version reads it"


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """One row of the registry. `parent` is the id of the version whose database a virtual one reads."""

    id: int
    datastack: str
    version: int
    status: str
    valid: bool
    expires_on: datetime | None
    parent: int | None = None
    pinned: bool = False
    in_use: bool = False
    """An active run is based on it, or mends it."""

    @property
    def readable(self) -> bool:
        """Whether it can be queried."""
        return self.status == "AVAILABLE" and self.valid


@dataclass(frozen=True, slots=True)
class Decision:
    """The ids of versions to retire, children before their parents, and why each other one stays."""

    retire: tuple[int, ...]
    kept: tuple[tuple[int, Keep], ...]


def decide(
    versions: Collection[VersionFacts], now: datetime, *, datastack: str | None = None, keep: int = 1
) -> Decision:
    """Which versions of a live database are to be retired at `now`.

    `versions` are all of that database, those of other datastacks included, for a virtual version may read a
    parent of another name. Without `datastack` every datastack counts as asked for. `keep` newest readable
    versions of each datastack stay, at least one.
    """
    newest = _newest(versions, max(keep, 1))
    reasons = {facts.id: _reason(facts, now, datastack, newest) for facts in versions}
    retire = {id_ for id_, reason in reasons.items() if reason is None}
    for parent in _read_by_the_living(versions, retire):
        retire.discard(parent)
        reasons[parent] = Keep.PARENT
    order = sorted((facts for facts in versions if facts.id in retire), key=lambda f: (f.parent is None, f.id))
    kept = tuple((id_, reason) for id_, reason in sorted(reasons.items()) if reason is not None)
    return Decision(tuple(facts.id for facts in order), kept)


def _newest(versions: Iterable[VersionFacts], keep: int) -> set[int]:
    """The newest readable versions of each datastack, the virtual ones apart: they hold no rows."""
    by_stack: dict[str, list[VersionFacts]] = {}
    for facts in versions:
        if facts.readable and facts.parent is None:
            by_stack.setdefault(facts.datastack, []).append(facts)
    ranked = (sorted(found, key=lambda facts: facts.version)[-keep:] for found in by_stack.values())
    return {facts.id for found in ranked for facts in found}


def _reason(facts: VersionFacts, now: datetime, datastack: str | None, newest: set[int]) -> Keep | None:
    if datastack is not None and facts.datastack != datastack:
        return Keep.FOREIGN
    if facts.status == "RUNNING":
        return Keep.BUILDING
    if facts.status != "AVAILABLE":
        return Keep.OVER
    if facts.in_use:
        return Keep.IN_USE
    if facts.pinned:
        return Keep.PINNED
    if facts.expires_on is None:
        return Keep.ENDLESS
    if facts.expires_on > now:
        return Keep.YOUNG
    return Keep.LAST if facts.id in newest else None


def _read_by_the_living(versions: Iterable[VersionFacts], retire: set[int]) -> set[int]:
    """Parents of virtual versions that stay. A child that stays keeps its parent, and that one's parent too."""
    parents = {facts.id: facts.parent for facts in versions}
    held: set[int] = set()
    for facts in versions:
        above = facts.parent if facts.status == "AVAILABLE" and facts.id not in retire else None
        while above is not None and above not in held:
            held.add(above)
            above = parents.get(above)
    return held & retire
