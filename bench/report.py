"""What a measurement leaves: one JSON file per commit, a table of medians, and the guard on ratios.

Ratios are of our seconds over the floor's in the same round, so they outlive the machine; seconds do not.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .engine import Figure

HISTORY = Path(__file__).parent / "history"
AT_MOST = {
    "bulk upload": 1.5,
    "ingest": 3.0,
    "freeze": 0.6,
    "update 1%": 2.0,
    "update 10%": 2.0,
    "update 50%": 2.0,
    "complete": 0.8,
    "incremental": 1.0,
}
"""The highest ratio to the floor that each part is meant to have at a million rows."""


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
    history_rows: int
    history_bytes: int
    ledger_bytes: int
    steps: dict[str, float] = field(default_factory=dict)

    @property
    def at_most(self) -> float | None:
        """The ratio aimed at, which holds at a million rows."""
        return AT_MOST.get(self.part)


def summarize(figures: Sequence[Figure]) -> list[Summary]:
    """One summary for each part and size, in the order in which they came."""
    groups: dict[tuple[str, int], list[Figure]] = {}
    for figure in figures:
        groups.setdefault((figure.part, figure.rows), []).append(figure)
    return [_summary(part, rows, found) for (part, rows), found in groups.items()]


def _summary(part: str, rows: int, found: list[Figure]) -> Summary:
    ratios = [figure.seconds / figure.floor for figure in found]

    def middle(name: str) -> float:
        return round(statistics.median(getattr(figure, name) for figure in found), 3)

    counts = {name: int(middle(name)) for name in ("history_rows", "history_bytes", "ledger_bytes")}
    return Summary(
        part,
        rows,
        len(found),
        *(round(ratio, 2) for ratio in (statistics.median(ratios), min(ratios), max(ratios))),
        *(middle(name) for name in ("seconds", "floor", "client_cpu", "server_cpu", "floor_cpu")),
        peak_mb=round(max(figure.peak_mb for figure in found)),
        **counts,
        steps=min(found, key=lambda figure: figure.seconds).steps,
    )


def exponents(summaries: Sequence[Summary]) -> dict[str, float]:
    """How each part's seconds grow with its rows: 1 is linear. Least squares over at least two sizes."""
    parts = {one.part for one in summaries}
    found = {}
    for part in sorted(parts):
        sizes = [(math.log(one.rows), math.log(one.seconds)) for one in summaries if one.part == part]
        if len({size for size, _ in sizes}) > 1:
            slope, _ = statistics.linear_regression(*zip(*sizes, strict=True))
            found[part] = round(slope, 2)
    return found


def write(kind: str, summaries: Sequence[Summary], more: dict[str, Any] | None = None) -> Path:
    """Keep a measurement under the commit that was measured."""
    commit = _git("rev-parse", "--short=10", "HEAD")
    document = {
        "kind": kind,
        "commit": commit,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
        "load": [round(load, 1) for load in os.getloadavg()],
        "parts": [asdict(one) for one in summaries],
        "exponents": exponents(summaries),
        **(more or {}),
    }
    HISTORY.mkdir(exist_ok=True)
    path = HISTORY / f"{document['date'][:10]}-{commit}-{kind}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def _git(*words: str) -> str:
    found = subprocess.run(["git", *words], capture_output=True, text=True, cwd=Path(__file__).parent)
    return found.stdout.strip() or "unknown"


def newest(kind: str, folder: Path = HISTORY) -> dict[str, Any] | None:
    """The newest measurement of a kind, None where there is none."""
    found = [json.loads(path.read_text()) for path in folder.glob(f"*-{kind}.json")]
    return max(found, key=lambda document: document["date"]) if found else None


SPREAD = 1.6
"""How much higher than before a ratio of the quick measurement may be: its parts last a second or less."""


def worsened(before: dict[str, Any], now: Sequence[Summary], spread: float = SPREAD) -> list[str]:
    """A sentence for each part whose ratio lies beyond the highest one kept, times the spread."""
    kept = {(part["part"], part["rows"]): part["highest"] for part in before["parts"]}
    return [
        f"{one.part} at {one.rows:,} rows: {one.ratio:.2f} times the floor, {kept[one.part, one.rows]:.2f} at most "
        f"in {before['commit']}, which may spread by {spread:g}"
        for one in now
        if (one.part, one.rows) in kept and one.ratio > spread * kept[one.part, one.rows]
    ]
