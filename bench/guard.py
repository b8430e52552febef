"""Whether a measurement is worse than the one that is kept, by ratios to the floor and never by seconds.

Noise makes single rounds worse; a change for the worse makes all of them worse. So the best round of a part is held
against the worst kept one, with a margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .figures import Summary

SPREAD = 1.25
"""How far beyond the worst kept round the best one of now may lie."""

LEAST = 1.6
"""The same beyond the kept median, however close together the kept rounds lay: quick parts last a second or less."""


def limit(part: dict[str, Any]) -> float:
    """The highest ratio that the best round of a part may have, given what is kept of it."""
    return max(SPREAD * part["highest"], LEAST * part["ratio"])


def worsened(before: dict[str, Any], now: Sequence[Summary]) -> dict[str, str]:
    """A sentence for each part that is worse, by its name. Parts and sizes that were not kept say nothing."""
    kept = {(part["part"], part["rows"]): part for part in before["parts"]}
    found = {}
    for one in now:
        held = kept.get((one.part, one.rows))
        if held and one.lowest > limit(held):
            found[one.part] = (
                f"{one.part} at {one.rows:,} rows: at best {one.lowest:.3g} times the floor, where {limit(held):.3g} "
                f"may be; {before['commit']} had {held['ratio']:.3g}, at most {held['highest']:.3g}"
            )
    return found
