"""What is measured at which size."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from .sections import SECTIONS, Task

QUICK_ROWS, FULL_ROWS = 100_000, 1_000_000
GROWTH_ROWS = (100_000, 300_000, 1_000_000, 3_000_000)
GROWING = ("engine", "roots", "supervoxels")
"""Sections whose work is proportional to rows; reads and visits ask for a part of them."""


def tasks(rows: int, rounds: int, sections: Collection[str] = (), *, growth: Collection[int] = ()) -> Iterator[Task]:
    """Every section, or some of them, at a size; then the growing ones at other sizes, once each."""
    chosen = [name for name in SECTIONS if name in sections or not sections]
    for name in chosen:
        yield Task(name, _visit(rows) if name in ("visits", "apdb") else rows, rounds)
    for size in growth:
        for name in chosen:
            if size != rows and name in GROWING:
                yield Task(name, size, 1, growth=True)


def _visit(rows: int) -> int:
    """Detections in a visit: 10,000 beside a million rows, 2,000 beside a hundred thousand."""
    return min(max(rows // 50, 30), 10_000)
