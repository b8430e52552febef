"""Measure the visits of the L1 wing, beside `lsst-dax-apdb` where that is installed in an environment of its own.

    python bench/visits.py compare --backend postgresql --sources 10000 --visits 18
    python bench/visits.py prefill --rows 100000,4000000
    python bench/visits.py survey --backend sqlite --visits 1000 --out results

`compare` runs the same work (see `visits_work`) on both and prints medians over the last third of the visits and
their ratios. The other package is never imported here: a driver script runs it in its own process and environment.
`prefill` grows the last-object table before the visits. `survey` runs the programs of the package unattended and draws
what they measured.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import click
import numpy as np
import psycopg2
import pyarrow as pa
from visits_work import Row, Work, run

from l1dbproto.l1db import L1db
from l1dbproto.tables import SHORT_OBJECT
from materializationengine.kernel.columns import Connection
from materializationengine.kernel.postgres import PrivateCluster, libpq, normalize, with_database

ROOT = Path(__file__).resolve().parents[1]
DRIVER = ROOT.parent / "shared" / "bench" / "l1db" / "bench_apdb.py"
T = TypeVar("T")
STAGES = ("read_obj", "read_src", "read_fsrc", "store")
_SETTINGS = {"shared_buffers": "1GB", "autovacuum_naptime": "15s"}
_OPTIONS = {
    "dia_object_index": "last_object_table",
    "object_last_replace": 1,
    "read_sources_months": 12,
    "read_forced_sources_months": 12,
    "source_select": "by-oid",
}


@click.group()
def main() -> None:
    """Measure the visits of the L1 wing."""


@main.command()
@click.option("--backend", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
@click.option("--sources", default=2000, show_default=True, help="Detections per visit.")
@click.option("--visits", default=30, show_default=True)
@click.option("--wide", is_flag=True, help="Fill every column, not only those that must be.")
@click.option("--partition", type=click.Choice(["none", "month"]), default="none", show_default=True)
@click.option("--apdb-python", type=click.Path(path_type=Path), default=ROOT / ".venv-apdb" / "bin" / "python")
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
        with _addresses(backend, home) as (ours_url, theirs_url, postmaster):
            theirs = None
            if apdb_python.exists() and driver.exists():
                words = [
                    f"--url={theirs_url}",
                    f"--n={sources}",
                    f"--visits={visits}",
                    f"--postmaster={postmaster}",
                ]
                theirs = _theirs(apdb_python, driver, home, [*words, *(["--wide"] if wide else [])])
            else:
                click.echo(f"no lsst-dax-apdb to compare with ({apdb_python}, {driver})", err=True)
            config = _config(home / "ours.cfg", ours_url, partition=partition)
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
    with tempfile.TemporaryDirectory(prefix="l1bench-", dir="/var/tmp") as scratch, _server(Path(scratch)) as server:
        runs = []
        for count in sizes:
            url = _database(server, f"rows{count}")
            config = _config(Path(scratch) / f"{count}.cfg", url)
            L1db(config).makeSchema()
            _fill_last(url, count)
            runs.append(run(config, Work(sources), visits, lambda: _server_seconds(server.pid)))
        # A visit of each in turn, so that whatever else the machine does meets all of them.
        done = list(zip(*runs, strict=True))
    last = [_last_third(list(column)) for column in zip(*done, strict=True)]
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
        with _addresses(backend, home) as (url, _, _):
            config = _config(home / "ours.cfg", url)
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


def _server_seconds(postmaster: int) -> float:
    """Processor time that the server's processes have used so far."""
    used = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # gone meanwhile
        if int(fields[1]) == postmaster:
            used += int(fields[11]) + int(fields[12])
    return used / os.sysconf("SC_CLK_TCK")


@contextmanager
def _addresses(backend: str, home: Path) -> Iterator[tuple[str, str, int]]:
    """Fresh databases for ours and for the other package, and the server's process id (0 without one)."""
    if backend == "sqlite":
        yield f"sqlite:///{home}/ours.sqlite", f"sqlite:///{home}/theirs.sqlite", 0
        return
    with _server(home) as server:
        # The driver tells its server processes from others by the database's name, l1.
        yield _database(server, "ours"), normalize(_database(server, "l1")), server.pid


def _server(home: Path) -> PrivateCluster:
    return PrivateCluster(home / "pg", settings=_SETTINGS, extensions=(), keep=False)


def _database(server: PrivateCluster, name: str) -> str:
    """The address of a new database."""
    with closing(psycopg2.connect(server.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    return with_database(server.url, name)


def _config(path: Path, url: str, **changes: object) -> Path:
    words = "\n".join(f"{key} = {value}" for key, value in {**_OPTIONS, **changes}.items())
    path.write_text(f"[database]\nurl = {url}\n[l1db]\n{words}\n")
    return path


def _theirs(python: Path, driver: Path, home: Path, words: list[str]) -> list[dict[str, float]]:
    """Run the driver; its figures of every visit."""
    command = [str(python), str(driver), "--label=theirs", f"--out={home}", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with (home / "theirs.csv").open() as stream:
        return [{name: float(value or 0) for name, value in row.items()} for row in csv.DictReader(stream)]


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


def _last_third(rows: list[T]) -> list[T]:
    return rows[-max(3, len(rows) // 3) :]


def _medians(rows: list[Row]) -> dict[str, float]:
    found = {stage: statistics.median(row.wall[stage] for row in rows) for stage in STAGES}
    return {**found, "total": statistics.median(sum(row.wall.values()) for row in rows)}


def _their_medians(rows: list[dict[str, float]]) -> dict[str, float]:
    found = {stage: statistics.median(row.get(stage, 0.0) for row in rows) for stage in STAGES}
    return {**found, "total": statistics.median(sum(row.get(stage, 0.0) for stage in STAGES) for row in rows)}


def _report(rows: list[Row], theirs: list[dict[str, float]] | None) -> None:
    ours = _medians(_last_third(rows))
    other: Mapping[str, float] = {} if theirs is None else _their_medians(_last_third(theirs))
    click.echo(f"{'stage':<10}{'ours, s':>10}{'theirs, s':>12}{'ratio':>8}{'rows':>9}")
    for stage, seconds in ours.items():
        count = rows[-1].rows.get(stage, "")
        beside = f"{other[stage]:>12.3f}{other[stage] / seconds:>7.1f}x" if other else " " * 20
        click.echo(f"{stage:<10}{seconds:>10.3f}{beside}{count:>9}")
    click.echo(
        f"our client's processor time: {statistics.median(sum(r.cpu.values()) for r in _last_third(rows)):.3f} s"
    )
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
