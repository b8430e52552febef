"""Measure the visits of the L1 wing, beside `lsst-dax-apdb` where that is installed in an environment of its own.

    python -m bench.visits compare --backend postgresql --sources 10000 --visits 18
    python -m bench.visits prefill --rows 100000,4000000
    python -m bench.visits survey --backend sqlite --visits 1000 --out results

`compare` runs the same work (see `visits_work`) on both and prints medians over the last third of the visits and
their ratios. The other package is never imported here: a driver script runs it in its own process and environment.
`prefill` grows the last-object table before the visits. `survey` runs the programs of the package unattended and draws
what they measured.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import click
import numpy as np
import psycopg2
import pyarrow as pa

from l1dbproto.l1db import L1db
from l1dbproto.tables import SHORT_OBJECT
from materializationengine.kernel.columns import Connection
from materializationengine.kernel.postgres import libpq

from .usage import family_seconds
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
from .visits_work import Row, Work, run

STAGES = ("read_obj", "read_src", "read_fsrc", "store")


@click.group()
def main() -> None:
    """Measure the visits of the L1 wing."""


@main.command()
@click.option("--backend", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
@click.option("--sources", default=2000, show_default=True, help="Detections per visit.")
@click.option("--visits", default=30, show_default=True)
@click.option("--wide", is_flag=True, help="Fill every column, not only those that must be.")
@click.option("--partition", type=click.Choice(["none", "month"]), default="none", show_default=True)
@click.option("--apdb-python", type=click.Path(path_type=Path), default=APDB_PYTHON)
@click.option("--driver", type=click.Path(path_type=Path), default=DRIVER, help="Script that drives lsst-dax-apdb.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the figures of each visit.")
def compare(
    backend: str,
    sources: int,
    visits: int,
    wide: bool,
    partition: str,
    apdb_python: Path,
    driver: Path,
    out: Path | None,
) -> None:
    """Ours, and the other package where there is one, on the same work."""
    with tempfile.TemporaryDirectory(prefix="l1bench-", dir="/var/tmp") as scratch:
        home = Path(scratch)
        with fresh_addresses(backend, home) as (ours_url, theirs_url, postmaster):
            theirs = None
            if apdb_python.exists() and driver.exists():
                words = [
                    f"--url={theirs_url}",
                    f"--n={sources}",
                    f"--visits={visits}",
                    f"--postmaster={postmaster}",
                ]
                theirs = drive_apdb(apdb_python, driver, home, [*words, *(["--wide"] if wide else [])])
            else:
                click.echo(f"no lsst-dax-apdb to compare with ({apdb_python}, {driver})", err=True)
            config = write_config(home / "ours.cfg", ours_url, partition=partition)
            L1db(config).makeSchema()
            rows = list(run(config, Work(sources, wide=wide), visits))
    _report(rows, theirs)
    if out is not None:
        _save(out / f"ours_{backend}_{sources}.json", rows)


@main.command()
@click.option("--rows", default="100000,1000000,4000000", show_default=True, help="Sizes of the last-object table.")
@click.option("--sources", default=10_000, show_default=True)
@click.option("--visits", default=15, show_default=True)
def prefill(rows: str, sources: int, visits: int) -> None:
    """How the time to store depends on the size of the last-object table (PostgreSQL)."""
    sizes = [int(count) for count in rows.split(",")]
    with tempfile.TemporaryDirectory(prefix="l1bench-", dir="/var/tmp") as scratch, new_server(Path(scratch)) as server:
        runs = []
        for count in sizes:
            url = new_database(server, f"rows{count}")
            config = write_config(Path(scratch) / f"{count}.cfg", url)
            L1db(config).makeSchema()
            _fill_last(url, count)
            runs.append(run(config, Work(sources), visits, lambda: family_seconds(server.pid)))
        # A visit of each in turn, so that whatever else the machine does meets all of them.
        done = list(zip(*runs, strict=True))
    last = [last_third(list(column)) for column in zip(*done, strict=True)]
    for count, mine in zip(sizes, last, strict=True):
        wall, cpu = _store_seconds(mine)
        first_wall, first_cpu = _store_seconds(last[0])
        click.echo(
            f"{count:>9} rows before: store {wall * 1000:7.1f} ms, {wall / first_wall - 1:+.1%}; "
            f"processor time of client and server {cpu * 1000:7.1f} ms, {cpu / first_cpu - 1:+.1%}"
        )


def _store_seconds(rows: list[Row]) -> tuple[float, float]:
    """Medians of wall clock, and of processor time of client and server."""
    wall = statistics.median(row.wall["store"] for row in rows)
    return wall, statistics.median(row.cpu["store"] + row.server["store"] for row in rows)


@main.command()
@click.option("--backend", type=click.Choice(["postgresql", "sqlite"]), default="sqlite", show_default=True)
@click.option("--sources", default=2000, show_default=True, help="Detections per visit, a third of them noise.")
@click.option("--visits", default=1000, show_default=True)
@click.option("--footprint", help="RA,DECL,RADIUS in degrees; default: the southern hemisphere, as in the seed.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
def survey(backend: str, sources: int, visits: int, footprint: str | None, out: Path) -> None:
    """Run gen_sources, create_l1_schema, ap_proto and ap_plot, unattended."""
    out.mkdir(parents=True, exist_ok=True)
    name = f"{backend}_{sources}_{visits}" + ("_footprint" if footprint else "")
    metrics, words = out / f"{name}.jsonl", ["--footprint", footprint] if footprint else []
    metrics.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="l1bench-", dir="/var/tmp") as scratch:
        home = Path(scratch)
        sky = home / "variables.npy"
        with fresh_addresses(backend, home) as (url, _, _):
            config = write_config(home / "ours.cfg", url)
            _program("gen_sources", "-H", -1, "-n", round(sources * 2 / 3), sky)
            _program("create_l1_schema", "-c", config)
            start = ["--start-time", "2026-01-01 20:00:00", "--transients", round(sources / 3)]
            begun = time.perf_counter()
            _program("ap_proto", "-c", config, "-n", visits, *start, *words, "--metrics", metrics, sky)
            click.echo(f"{name}: {visits} visits in {time.perf_counter() - begun:.0f} s")
    _program("ap_plot", "-t", name.replace("_", " "), "-o", metrics.with_suffix(".png"), metrics)
    _program("ap_plot", "-t", name.replace("_", " "), "-o", metrics.with_suffix(".svg"), metrics)


def _program(name: str, *words: object) -> None:
    subprocess.run([sys.executable, "-m", f"l1dbproto.apps.{name}", *map(str, words)], check=True)


def _fill_last(url: str, count: int) -> None:
    rng = np.random.default_rng(7)
    with Connection(libpq(url)) as connection:
        for begin in range(0, count, 500_000):
            size = min(500_000, count - begin)
            columns: dict[str, object] = {name: np.zeros(size, dtype=np.float32) for name in SHORT_OBJECT}
            columns |= {
                "diaObjectId": np.arange(size) + begin + 5_000_000_000,
                "ra": np.zeros(size),
                "decl": np.zeros(size),
            }
            columns |= {"htmId20": rng.integers(8 << 40, 16 << 40, size)}
            columns |= {
                name: np.full(size, np.datetime64("2025-01-01", "us"))
                for name in ("lastNonForcedSource", "validityStart")
            }
            connection.append("DiaObjectLast", pa.table(columns))
        connection.commit()
    with closing(psycopg2.connect(libpq(url))) as settled:
        settled.autocommit = True
        with settled.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE, FREEZE)")
            cursor.execute("CHECKPOINT")


def _medians(rows: list[Row]) -> dict[str, float]:
    found = {stage: statistics.median(row.wall[stage] for row in rows) for stage in STAGES}
    return {**found, "total": statistics.median(sum(row.wall.values()) for row in rows)}


def _their_medians(rows: list[dict[str, float]]) -> dict[str, float]:
    found = {stage: statistics.median(row.get(stage, 0.0) for row in rows) for stage in STAGES}
    return {**found, "total": statistics.median(sum(row.get(stage, 0.0) for stage in STAGES) for row in rows)}


def _report(rows: list[Row], theirs: list[dict[str, float]] | None) -> None:
    ours = _medians(last_third(rows))
    other: Mapping[str, float] = {} if theirs is None else _their_medians(last_third(theirs))
    click.echo(f"{'stage':<10}{'ours, s':>10}{'theirs, s':>12}{'ratio':>8}{'rows':>9}")
    for stage, seconds in ours.items():
        count = rows[-1].rows.get(stage, "")
        beside = f"{other[stage]:>12.3f}{other[stage] / seconds:>7.1f}x" if other else " " * 20
        click.echo(f"{stage:<10}{seconds:>10.3f}{beside}{count:>9}")
    click.echo(f"our client's processor time: {statistics.median(sum(r.cpu.values()) for r in last_third(rows)):.3f} s")
    click.echo(f"source read grows by {_slope(rows) * 1e6:.1f} microseconds a row")


def _slope(rows: list[Row]) -> float:
    """Seconds per row of the source read, fitted over all visits that read any."""
    points = [(row.rows["read_src"], row.wall["read_src"]) for row in rows if row.rows["read_src"]]
    counts, seconds = np.array(points, dtype=float).T
    return float(np.polyfit(counts, seconds, 1)[0])


def _save(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([vars(row) for row in rows]))


if __name__ == "__main__":
    main()
