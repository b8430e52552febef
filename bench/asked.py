"""What each part is meant to reach, and at which size."""

from __future__ import annotations

from dataclasses import dataclass

MEMORY_MB = 500
"""The most that any worker may hold, whatever the table's size."""

EXPONENT = 1.1
"""The highest power of the rows with which the cost of a part may grow."""

DOWNLOAD = 500_000
"""Rows of a long download."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The highest ratio to the floor, or the most seconds, with so many rows."""

    rows: int
    ratio: float | None = None
    seconds: float | None = None

    def met(self, ratio: float, seconds: float) -> bool:
        """Whether a measurement at this size reaches it."""
        return (self.ratio is None or ratio <= self.ratio) and (self.seconds is None or seconds <= self.seconds)


MILLION = 1_000_000
_COMPRESSED = Asked(DOWNLOAD, seconds=DOWNLOAD / (3 * 104_000))
"""Three times what the system measured before us reached at best: 104,000 rows a second."""

ASKED = {
    "bulk upload": Asked(MILLION, 1.5),
    "ingest": Asked(MILLION, 3.0),
    "freeze": Asked(MILLION, 0.6),
    "update 1%": Asked(MILLION, 2.0),
    "update 10%": Asked(MILLION, 2.0),
    "update 50%": Asked(MILLION, 2.0),
    "complete": Asked(MILLION, 0.8),
    "incremental": Asked(MILLION, 1.0),
    "supervoxel look-up": Asked(MILLION, 1 / 300),
    "point query": Asked(MILLION, seconds=0.005),
    "live query, unchanged roots": Asked(MILLION, seconds=0.010),
    "live query, edited roots": Asked(MILLION, seconds=0.010),
    "download": Asked(DOWNLOAD, 1 / 0.7),
    "download, lz4": _COMPRESSED,
    "download, zstd": _COMPRESSED,
    "L1 visit beside lsst-dax-apdb": Asked(10_000, 1 / 7),
}
