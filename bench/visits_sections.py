"""L1 visits as sections of the measurement: beside bare SQL, and beside `lsst-dax-apdb`."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from l1dbproto.l1db import L1db

from .figures import Detail, Figure
from .floors import Cost
from .skipped import Skipped
from .usage import family_seconds, forget_peak, peak_mb
from .visits_base import (
    APDB_PYTHON,
    DRIVER,
    drive_apdb,
    fresh_addresses,
    last_third,
    new_database,
    new_server,
    write_config,
)
from .visits_floor import Bare
from .visits_work import Row, Work, run

PART, BESIDE = "L1 visit", "L1 visit beside lsst-dax-apdb"
VISITS = 6
"""Visits in a round; the last third of all of them is told."""


def measure(rows: int, rounds: int, folder: Path) -> Iterator[Figure | Detail]:
    """Visits of so many detections, each in turn with the bare SQL of the same rows."""
    with new_server(folder) as server:
        url, work = new_database(server, "ours"), Work(rows)
        config = write_config(folder / "ours.cfg", url)
        L1db(config).makeSchema()
        bare = Bare(url, work, lambda: family_seconds(server.pid))
        forget_peak()
        ours = run(config, work, VISITS * rounds, lambda: family_seconds(server.pid))
        done = [(row, bare.visit(row.visit)) for row in ours]
        bare.close()
    last = last_third(done)
    for row, costs in last:
        yield _figure(PART, rows, row, sum(costs.values(), Cost()))
    stages = {stage: statistics.median(row.wall[stage] for row, _ in last) for stage in last[0][1]}
    floor = {stage: statistics.median(costs[stage].seconds for _, costs in last) for stage in stages}
    yield Detail("visits", {"ours": stages, "bare SQL": floor})


def beside_apdb(rows: int, rounds: int, folder: Path) -> Iterator[Figure]:
    """The same work, done by the other package first. Raises Skipped where it or its driver is absent."""
    if not APDB_PYTHON.exists():
        raise Skipped("there is no .venv-apdb; scripts/setup-clients.sh apdb makes it")
    if not DRIVER.exists():
        raise Skipped("the driver of lsst-dax-apdb is not beside the checkout")
    visits = VISITS * rounds
    with fresh_addresses("postgresql", folder) as (ours, theirs, postmaster):
        words = [f"--url={theirs}", f"--n={rows}", f"--visits={visits}", f"--postmaster={postmaster}"]
        others = drive_apdb(APDB_PYTHON, DRIVER, folder, words)
        config = write_config(folder / "ours.cfg", ours)
        L1db(config).makeSchema()
        forget_peak()
        done = list(run(config, Work(rows), visits, lambda: family_seconds(postmaster)))
    for row, other in zip(last_third(done), last_third(others), strict=True):
        yield _figure(BESIDE, rows, row, Cost(sum(other.get(stage, 0.0) for stage in row.wall)))


def _figure(part: str, rows: int, row: Row, floor: Cost) -> Figure:
    return Figure(
        part,
        rows,
        sum(row.wall.values()),
        floor.seconds,
        floor_cpu=floor.cpu,
        client_cpu=sum(row.cpu.values()),
        server_cpu=sum(row.server.values()),
        peak_mb=peak_mb(),
        steps=dict(row.wall),
    )
