"""What is measured: figures of single rounds, their medians, and how cost grows with size.

Ratios are of our seconds over the floor's in the same round, so they outlive the machine; seconds do not.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


def load() -> float:
    """Processes that wanted to run during the last minute: how quiet the machine was."""
    return round(os.getloadavg()[0], 1)


@dataclass(frozen=True, slots=True)
class Figure:
    """One part of one round. `rows` says how many of what the part handles.

    `seconds` and `floor` are by the clock; CPU seconds are those of our processes, of the server that they ask, and of
    both for the floor. `peak_mb` is the most memory that one of our processes held. `steps` has seconds by action.
    """

    part: str
    rows: int
    seconds: float
    floor: float
    floor_cpu: float = 0.0
    client_cpu: float = 0.0
    server_cpu: float = 0.0
    neighbors: float = 0.0
    peak_mb: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    history_rows: int = 0
    history_bytes: int = 0
    ledger_rows: int = 0
    ledger_bytes: int = 0
    load: float = field(default_factory=load)

    @property
    def ratio(self) -> float:
        """How many times the floor."""
        return self.seconds / self.floor


@dataclass(frozen=True, slots=True)
class Detail:
    """What a section tells beside its figures: numbers by name."""

    name: str
    found: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Summary:
    """The medians of one part at one size, with the lowest and highest ratio of its rounds."""

    part: str
    rows: int
    rounds: int
    ratio: float
    lowest: float
    highest: float
    seconds: float
    floor: float
    client_cpu: float
    server_cpu: float
    floor_cpu: float
    peak_mb: float
    history_rows: int = 0
    history_bytes: int = 0
    ledger_rows: int = 0
    ledger_bytes: int = 0
    load: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)


_SECONDS = ("seconds", "floor", "client_cpu", "server_cpu", "floor_cpu")
_COUNTS = ("history_rows", "history_bytes", "ledger_rows", "ledger_bytes")


def summarize(figures: Sequence[Figure]) -> list[Summary]:
    """One summary for each part and size, in the order in which they came."""
    groups: dict[tuple[str, int], list[Figure]] = {}
    for figure in figures:
        groups.setdefault((figure.part, figure.rows), []).append(figure)
    return [_summary(part, rows, found) for (part, rows), found in groups.items()]


def _summary(part: str, rows: int, found: list[Figure]) -> Summary:
    ratios = [figure.ratio for figure in found]

    def middle(name: str) -> float:
        return statistics.median(getattr(figure, name) for figure in found)

    return Summary(
        part,
        rows,
        len(found),
        *(_digits(ratio) for ratio in (statistics.median(ratios), min(ratios), max(ratios))),
        **{name: _digits(middle(name)) for name in _SECONDS},
        peak_mb=round(max(figure.peak_mb for figure in found)),
        **{name: int(middle(name)) for name in _COUNTS},
        load=max(figure.load for figure in found),
        steps=min(found, key=lambda figure: figure.seconds).steps,
    )


def _digits(value: float) -> float:
    """Four of them: ratios reach from a hundredth of a percent to tens, seconds from microseconds to minutes."""
    return float(f"{value:.4g}")


@dataclass(frozen=True, slots=True)
class Growth:
    """How a part's seconds grow with its rows, ours and the floor's: the power, 1 is linear.

    `step` names the action that grows fastest of those that last a tenth of a second at the largest size.
    """

    part: str
    ours: float
    floor: float
    step: str = ""
    steepest: float = 0.0


LONG_ENOUGH = 0.1


def growths(summaries: Sequence[Summary]) -> list[Growth]:
    """Of every part that was measured at two sizes or more. Least squares over the logarithms."""
    found = []
    for part in dict.fromkeys(one.part for one in summaries):
        sizes = sorted((one for one in summaries if one.part == part), key=lambda one: one.rows)
        if len({one.rows for one in sizes}) > 1:
            step, steepest = _steepest(sizes)
            ours, floor = ([(one.rows, getattr(one, name)) for one in sizes] for name in ("seconds", "floor"))
            found.append(Growth(part, exponent(ours), exponent(floor), step, steepest))
    return found


def _steepest(sizes: list[Summary]) -> tuple[str, float]:
    steps = [step for step, seconds in sizes[-1].steps.items() if seconds >= LONG_ENOUGH]
    powers = {}
    for step in steps:
        points = [(one.rows, one.steps[step]) for one in sizes if one.steps.get(step, 0.0) > 0]
        if len(points) > 1:
            powers[step] = exponent(points)
    return max(powers.items(), key=lambda item: item[1], default=("", 0.0))


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The power p of y = c * x ** p that fits best."""
    slope, _ = statistics.linear_regression(*zip(*((math.log(x), math.log(y)) for x, y in points), strict=True))
    return round(slope, 2)
