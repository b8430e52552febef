"""At which size one machine is no longer enough: `python -m bench.scale [--rows N,N,N] [--json FILE]`.

For each size a live table and a version of it: bytes a row, the version's freeze, point queries beside nothing and
beside a freeze, and one aggregate over the whole table by SQL, and over its Parquet file by Arrow. The manual's page on
scaling is made of the file that this writes.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import psycopg2
import pyarrow.parquet as pq

from materializationengine.config import Settings
from materializationengine.kernel import logs
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.urls import libpq

from .reads import FROZEN, QUERY, Client, Server, by_root
from .reads_world import TABLE, VOLUME, InstantServices, World, freeze, make

KEPT = Path(__file__).with_name("scale.json")
AGGREGATE = f"SELECT pre_pt_root_id, count(*), avg(size) FROM {TABLE} GROUP BY pre_pt_root_id"
ASKED, ROUNDS = 200, 5


def measure(rows: int) -> dict[str, Any]:
    """The figures of one size."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        with PrivateCluster(folder / "postgres", durable=True, keep=False) as cluster:
            world = make(cluster, folder, rows)
            server = Server(world, folder)
            try:
                # The first request waits for the process to be up.
                Client(server.address).post(QUERY, {"limit": 1})
                return {"rows": rows, **_sizes(world), **_files(world, server, folder), **_queries(world, server)}
            finally:
                server.close()


def _sizes(world: World) -> dict[str, Any]:
    """Bytes of the tables of the live and of the frozen database, indexes included, for each row."""
    return {"live_bytes": _bytes(world, VOLUME) / world.rows, "frozen_bytes": _bytes(world, FROZEN) / world.rows}


def _bytes(world: World, database: str) -> int:
    total = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname ~ %s"
    with closing(psycopg2.connect(libpq(world.url, database=database))) as raw, raw.cursor() as cursor:
        cursor.execute(total, (f"^{TABLE}",))
        found = cursor.fetchone()
    assert found is not None
    return int(found[0])


def _files(world: World, server: Server, folder: Path) -> dict[str, float]:
    """The aggregate by SQL and by Arrow over the file, and what it costs to fetch the file."""
    path = folder / "synapses.parquet"
    fetched = _timed(lambda: path.write_bytes(_parquet(server)))
    with closing(psycopg2.connect(libpq(world.url, database=FROZEN))) as raw, raw.cursor() as cursor:

        def by_sql() -> int:
            cursor.execute(AGGREGATE)
            return len(cursor.fetchall())

        assert by_sql() == _by_arrow(path)
        sql, arrow = _best(by_sql), _best(lambda: _by_arrow(path))
    return {"fetch_seconds": fetched, "sql_seconds": sql, "arrow_seconds": arrow, "parquet_bytes": _size(path, world)}


def _size(path: Path, world: World) -> float:
    return path.stat().st_size / world.rows


def _parquet(server: Server) -> bytes:
    headers = {"Content-Type": "application/json", "Accept": "application/vnd.apache.parquet"}
    with closing(http.client.HTTPConnection(server.address, timeout=120)) as connection:
        connection.request("POST", QUERY, "{}", headers)
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{QUERY}: {answer.status} {body[:500]!r}")
    return body


def _by_arrow(path: Path) -> int:
    table = pq.read_table(path, columns=["pre_pt_root_id", "size"])
    grouped = table.group_by("pre_pt_root_id").aggregate([("size", "count"), ("size", "mean")])
    return int(grouped.num_rows)


def _timed(deed: Callable[[], object]) -> float:
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def _best(deed: Callable[[], object]) -> float:
    return min(_timed(deed) for _ in range(ROUNDS))


def _queries(world: World, server: Server) -> dict[str, float]:
    """Point queries beside nothing, and as long as a second version is frozen in a process of its own."""
    alone = _ask(world, server, lambda done: done < ASKED)
    command = [sys.executable, "-m", "bench.scale", "--freeze"]
    with subprocess.Popen(command, env={**os.environ, **world.environ}, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        beside = _ask(world, server, lambda _: other.poll() is None)
        told = other.stdout.read()
    if other.returncode:
        raise SystemExit("the freeze beside the queries failed")
    return {
        "freeze_seconds": float(told),
        **{f"alone_p{share}_ms": float(np.percentile(alone, share)) for share in (50, 99)},
        **{f"beside_p{share}_ms": float(np.percentile(beside, share)) for share in (50, 99)},
    }


def _ask(world: World, server: Server, more: Callable[[int], bool]) -> list[float]:
    """Milliseconds of point queries, one after another."""
    dice, found = np.random.default_rng(1), []
    client = Client(server.address)
    while more(len(found)):
        root = int(dice.choice(world.roots))
        found.append(1000 * _timed(lambda root=root: client.post(QUERY, by_root(root))))
    return found


def _freeze_here() -> None:
    """What the process beside does: one more version. Says when it begins, and how long it took."""
    settings = Settings.from_env(os.environ)
    services = InstantServices(settings, os.environ["BENCH_HISTORY"], "bench scale")
    print("begins", flush=True)
    print(_timed(lambda: freeze(services)), flush=True)
    services.close()


def document(sizes: list[dict[str, Any]]) -> dict[str, Any]:
    """What is kept."""
    commit = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "sizes": [{key: round(value, 4) for key, value in size.items()} for size in sizes],
    }


@click.command(help=__doc__)
@click.option("--rows", default="100000,300000,1000000", show_default=True)
@click.option("--json", "target", default=str(KEPT), show_default=True, type=click.Path(dir_okay=False))
@click.option("--freeze", "freeze_only", is_flag=True, hidden=True)
def main(rows: str, target: str, freeze_only: bool) -> None:
    """Measure."""
    logs.configure("ERROR")
    if freeze_only:
        _freeze_here()
        return
    text = json.dumps(document([measure(int(each)) for each in rows.split(",")]), indent=1)
    print(text)
    Path(target).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
