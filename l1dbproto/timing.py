"""Stage timers: a line in the seed's format for the log, and the same figures for the metrics file."""

from __future__ import annotations

import json
import logging
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_LOG = logging.getLogger("timer")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of wall clock, and of this process's time in user and system mode."""

    real: float = 0.0
    user: float = 0.0
    sys: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.real + other.real, self.user + other.user, self.sys + other.sys)

    def __str__(self) -> str:
        return f"real={self.real:.3f} user={self.user:.3f} sys={self.sys:.3f}"


def _now() -> Spent:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Spent(time.perf_counter(), used.ru_utime, used.ru_stime)


@dataclass
class Timings:
    """Sums of the stages of one visit or tile, by stage name, and counts of rows."""

    prefix: str = ""
    stages: dict[str, Spent] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, log: bool = True) -> Iterator[None]:
        """Time the body, log one line, and add to the sum of `name`; a body that fails is not counted."""
        before = _now()
        yield
        after = _now()
        spent = Spent(after.real - before.real, after.user - before.user, after.sys - before.sys)
        if log:
            _LOG.info("%s%s: %s", self.prefix, name, spent)
        self.stages[name] = self.stages.get(name, Spent()) + spent

    def count(self, name: str, rows: int) -> None:
        """Add rows to the count of `name`."""
        self.counts[name] = self.counts.get(name, 0) + rows

    def take(self) -> Timings:
        """The sums so far, which start at nothing again."""
        taken = Timings(self.prefix, self.stages, self.counts)
        self.stages, self.counts = {}, {}
        return taken

    def add(self, other: Timings) -> None:
        """Add the sums of another, such as a tile's."""
        for name, spent in other.stages.items():
            self.stages[name] = self.stages.get(name, Spent()) + spent
        for name, rows in other.counts.items():
            self.count(name, rows)


class MetricsFile:
    """Metrics as JSON lines, one object per visit, each written at once so that a crash loses none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, timings: Timings, **facts: Any) -> None:
        """Append one line: the facts, the stages in seconds, and the counts."""
        stages = {name: {k: round(v, 6) for k, v in asdict(spent).items()} for name, spent in timings.stages.items()}
        line = json.dumps({**facts, "timers": stages, "counts": timings.counts})
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
