"""Half-open validity: a row is true from its start, inclusive, to its end, exclusive.

Annotations (`created`, `deleted`) and DIA objects (`validityStart`, `validityEnd`) share this meaning, so it
is written once, for values and for SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Interval:
    """`[start, end)`; an open end means the row is current."""

    start: datetime
    end: datetime | None = None

    def __post_init__(self) -> None:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"an interval cannot end at {self.end}, before its start {self.start}")

    def holds(self, moment: datetime) -> bool:
        """Whether the row is true at `moment`."""
        return self.start <= moment and (self.end is None or moment < self.end)

    def overlaps(self, other: Interval) -> bool:
        """Whether the two are ever true together."""
        return (other.end is None or self.start < other.end) and (self.end is None or other.start < self.end)


def holds_at(start: str, end: str, moment: str) -> str:
    """The SQL condition of `Interval.holds`; arguments are column names and a placeholder or literal."""
    return f"({start} <= {moment} AND ({end} IS NULL OR {end} > {moment}))"
