"""What `python -m bench.scale` and the benchmarks measured, as the page on scaling shows it, and sizes that follow."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import bench_tables

KEPT = Path(__file__).parents[1] / "bench" / "scale.json"
HOUR, NIGHT, IMPATIENT = 3600.0, 8 * 3600.0, 10.0
DISK, VERSIONS = 4e12, 7
"""A disk that one server may have, and the versions that the defaults keep at a time."""

Size = dict[str, float]


def _kept() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    return document


def figures() -> str:
    """A row for each size."""
    document = _kept()
    head = (
        "| rows | live table, bytes a row | version, bytes a row | freeze | point query alone | beside a freeze "
        "| aggregate by SQL | by Arrow on the file | fetching the file |"
    )
    made = f"Commit `{document['commit']}`, {document['date'][:10]}, {document['cores']} cores"
    told = f"{made}; queries as median and 99th percentile:"
    return "\n".join([told, "", head, "|---" * 9 + "|", *map(_row, document["sizes"])])


def _row(size: Size) -> str:
    def query(name: str) -> str:
        return f"{size[f'{name}_p50_ms']:.1f} / {size[f'{name}_p99_ms']:.1f} ms"

    return (
        f"| {size['rows']:,} | {size['live_bytes']:.0f} | {size['frozen_bytes']:.0f} | {size['freeze_seconds']:.1f} s "
        f"| {query('alone')} | {query('beside')} | {size['sql_seconds']:.3f} s | {size['arrow_seconds']:.3f} s "
        f"| {size['fetch_seconds']:.1f} s |"
    )


def needs() -> str:
    """Each step with the figure that calls for it, and the size at which it does."""
    largest, rate = _kept()["sizes"][-1], _ingest_rate()
    bytes_a_row = largest["live_bytes"] + VERSIONS * largest["frozen_bytes"]
    beside, alone = largest["beside_p99_ms"], largest["alone_p99_ms"]
    faster = largest["sql_seconds"] / largest["arrow_seconds"]
    night, slow = reached(largest, "freeze_seconds", NIGHT), reached(largest, "sql_seconds", IMPATIENT)
    rows = [
        f"| more workers | an ingest of {rate:,.0f} rows a second | {_round(rate * HOUR)} new rows: an hour's wait |",
        f"| a larger server | a freeze | {_round(night)} rows: a night of eight hours |",
        f"| read replicas | one query in a hundred takes {beside:.0f} ms beside a freeze, {alone:.0f} ms else "
        "| no number of rows: from one size to the next it hardly grows. The number of people who ask decides |",
        f"| files | Arrow aggregates {faster:.0f} times as fast | {_round(slow)} rows: {IMPATIENT:.0f} s by SQL |",
        f"| several servers | {bytes_a_row:,.0f} bytes a row, live and in {VERSIONS} versions "
        f"| {_round(DISK / bytes_a_row)} rows: a disk of {DISK / 1e12:.0f} TB |",
    ]
    return "\n".join(["| step | measured | needed from |", "|---|---|---|", *rows])


def _ingest_rate() -> float:
    """Rows a second of the newest benchmark's ingest."""
    part = next(part for part in bench_tables.newest()["parts"] if part["part"] == "ingest")
    return float(part["rows"]) / float(part["seconds"])


def reached(size: Size, name: str, goal: float) -> float:
    """The rows at which a figure reaches a goal, in proportion to a size that was measured."""
    return size["rows"] * goal / size[name]


def _round(rows: float) -> str:
    """One digit that counts, as an extrapolation deserves."""
    power = 10 ** math.floor(math.log10(rows))
    return f"some {round(rows / power) * power:,.0f}"
