"""Versions made while clients write and read at full speed: nobody errs, nobody waits, and the version is the truth."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest
import requests

from materializationengine.config import Settings
from materializationengine.domain.names import frozen_database
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.stack import programs
from materializationengine.workflows.celery_app import create_celery
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine
from tests.holes.conftest import TABLE, Lab, day, open_lab
from tests.workflows.workers import ROOT, kill_all, wait_for, worker

CLIENTS = 4


@pytest.fixture
def environ(postgres: PrivateCluster, redis: PrivateRedis, engine: Engine) -> dict[str, str]:
    return {
        "SQLALCHEMY_DATABASE_URI": postgres.url,
        "REDIS_URL": redis.url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
        "AUTH_DISABLED": "true",
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "MATERIALIZATION_SWEEP_EVERY": "1",
    }


@contextmanager
def web(environ: dict[str, str], log: Path) -> Iterator[str]:
    """The API as a stack serves it, in processes of its own."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with log.open("ab") as output:
        command = [sys.executable, *programs.web(address)]
        own = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environ}
        process = subprocess.Popen(command, cwd=ROOT, env=own, stdout=output, stderr=output, start_new_session=True)
    try:
        until(lambda: answers(f"http://{address}/health/live"), 60)
        yield f"http://{address}"
    finally:
        kill_all(process)


class Held(threading.Thread):
    """Looks, many times a second, which clients wait for a lock that a worker's session holds, and for how long."""

    STATEMENT = """
        SELECT waiting.pid, left(waiting.query, 80), left(holding.query, 80)
        FROM pg_stat_activity waiting, unnest(pg_blocking_pids(waiting.pid)) blocker
        JOIN pg_stat_activity holding ON holding.pid = blocker
        WHERE waiting.application_name LIKE 'matengine web%' AND holding.application_name LIKE 'matengine worker%'
    """

    def __init__(self, engine: Engine, database: str, stop: threading.Event) -> None:
        super().__init__()
        self._engine, self._database, self._stop_event = engine, database, stop
        self.longest, self.looks = 0.0, 0
        self.seen: dict[int, tuple[float, str, str]] = {}

    def run(self) -> None:
        with closing(self._engine.services.cluster.raw(self._database, "watch")) as connection:
            connection.autocommit = True
            while not self._stop_event.wait(0.05):
                with connection.cursor() as cursor:
                    cursor.execute(self.STATEMENT)
                    self._note({pid: texts for pid, *texts in cursor.fetchall()})

    def _note(self, waiting: dict[int, list[str]]) -> None:
        now = time.monotonic()
        self.looks += 1
        self.seen = {pid: self.seen.get(pid, (now, *texts)) for pid, texts in waiting.items()}  # type: ignore[misc]
        self.longest = max([self.longest, *(now - since for since, *_ in self.seen.values())])


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def until(happened: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@dataclass
class Writer:
    """One client that inserts, updates and deletes rows of its own as fast as it is answered."""

    url: str
    lab: Lab
    seed: int
    stop: threading.Event
    seconds: list[tuple[float, float]] = field(default_factory=list)
    """When each call began, and how long it took."""
    known: set[int] = field(default_factory=set)
    sizes: dict[int, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def run(self) -> None:
        random, session, alive = np.random.default_rng(self.seed), requests.Session(), []
        while not self.stop.is_set():
            deed = random.choice(["post", "put", "delete"]) if len(alive) > 20 else "post"
            try:
                if deed == "post":
                    sizes = random.random(3).tolist()
                    made = self._call(session, "POST", annotations=[self._row(size) for size in sizes])
                    alive += made
                    self._keep(made, sizes)
                elif deed == "put":
                    old, size = alive.pop(int(random.integers(len(alive)))), float(random.random())
                    new = self._call(session, "PUT", annotations=[{"id": old, "size": size}])[str(old)]
                    alive.append(new)
                    self._keep([new], [size])
                else:
                    gone = alive.pop(int(random.integers(len(alive))))
                    assert self._call(session, "DELETE", annotation_ids=[gone]) == [gone]
            except (requests.RequestException, AssertionError) as error:
                self.errors.append(f"{deed}: {error}")

    def _keep(self, ids: list[int], sizes: list[float]) -> None:
        self.known.update(ids)
        self.sizes.update(zip(ids, sizes, strict=True))

    def _row(self, size: float) -> dict[str, Any]:
        place = self.lab.places[0].tolist()
        return {"size": size, "pre_pt": {"position": place}, "post_pt": {"position": place}}

    def _call(self, session: requests.Session, method: str, **body: Any) -> Any:
        begin = time.monotonic()
        answer = session.request(method, rows_of(self.url, self.lab), json=body, timeout=30)
        self.seconds.append((begin, time.monotonic() - begin))
        assert answer.ok, answer.text
        return answer.json()


def rows_of(url: str, lab: Lab) -> str:
    return f"{url}/annotation/api/v2/aligned_volume/{lab.database}/table/{TABLE}/annotations"


def history(url: str, lab: Lab, ids: list[int]) -> dict[int, tuple[datetime, datetime | None]]:
    """When each row began and ended, as the service tells clients."""
    found = {}
    for start in range(0, len(ids), 200):
        asked = ",".join(map(str, ids[start : start + 200]))
        answer = requests.get(rows_of(url, lab), params={"annotation_ids": asked}, timeout=30)
        assert answer.ok, answer.text
        for row in answer.json():
            end = row["deleted"] and moments.parse(row["deleted"])
            found[row["id"]] = (moments.parse(row["created"]), end)
    return found


def test_versions_made_while_four_clients_write(
    engine: Engine,
    environ: dict[str, str],
    small_world: Path,
    datastack: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """The oracle replays what was acknowledged, by the stamps that clients see."""
    engine.load(small_world, datastack)
    lab = open_lab(engine, small_world, datastack)
    send, stop = create_celery(Settings.from_env(environ)).send, threading.Event()
    with ExitStack() as running:
        url = running.enter_context(web(environ, tmp_path / "web.log"))
        running.enter_context(worker(environ, tmp_path / "worker.log", concurrency=2))
        writers = [Writer(url, lab, seed, stop) for seed in range(CLIENTS)]
        threads = [threading.Thread(target=writer.run) for writer in writers]
        for thread in threads:
            thread.start()
        records, held = [], Held(engine, lab.database, stop)
        threads.append(held)
        held.start()
        try:
            time.sleep(3)
            began = time.monotonic()
            for kind in (RunKind.COMPLETE, RunKind.FREEZE, RunKind.COMPLETE):
                record = wait_for(engine, launch(engine.services, RunRequest(kind, datastack), send).id, 300)
                records.append(record)
        finally:
            ended = time.monotonic()
            stop.set()
            for thread in threads:
                thread.join()
        assert [record.status for record in records] == [RunStatus.SUCCEEDED] * 3, [r.error for r in records]
        assert [writer.errors for writer in writers] == [[]] * CLIENTS
        known = sorted(set().union(*(writer.known for writer in writers)))
        told = history(url, lab, known)
    calls = [call for writer in writers for call in writer.seconds]
    before = max(spent for begin, spent in calls if begin < began - 0.5)
    during = sorted(spent for begin, spent in calls if began <= begin <= ended)
    waits = {"calls": len(during), "p50": during[len(during) // 2], "p100": during[-1], "p100_before": before}
    record_property("seconds", json.dumps(waits))
    print("seconds of a write while versions were made:", waits)
    # What a client waits for the work of a run is a lock, and is seen in the server. How long its calls take on a busy
    # machine is only told.
    assert held.looks > 20 and held.longest <= 1.0, (held.longest, held.seen, waits)
    assert len(known) > 50 and lab.rows(f"SELECT count(*) FROM {TABLE}") == [(len(known),)]
    sizes = {row: size for writer in writers for row, size in writer.sizes.items()}
    for record in records:
        at = record.as_of and moments.aware(record.as_of)
        assert at is not None
        held = (row for row, (created, end) in told.items() if created <= at and (end is None or end > at))
        truth = {row: sizes[row] for row in held}
        rows = lab.frozen(record)
        assert truth and dict(zip(rows["id"].to_pylist(), rows["size"].to_pylist(), strict=True)) == truth


@pytest.mark.faults
def test_versions_made_while_four_readers_sit_on_their_base(
    engine: Engine, environ: dict[str, str], small_world: Path, datastack: str, tmp_path: Path
) -> None:
    """Two hold a transaction with an open cursor, two ask again and again; a version is made and one is mended."""
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    base = engine.run(RunKind.COMPLETE, datastack, as_of=day(20))
    stop, errors, seen = threading.Event(), [], [set() for _ in range(CLIENTS)]
    threads = [
        threading.Thread(target=read, args=(engine, datastack, base.version, number < 2, stop, seen[number], errors))
        for number in range(CLIENTS)
    ]
    send = create_celery(Settings.from_env(environ)).send
    with worker(environ, tmp_path / "worker.log", concurrency=2):
        for thread in threads:
            thread.start()
        try:
            made = RunRequest(RunKind.INCREMENTAL, datastack, as_of=day(40), base_version=base.version)
            first = wait_for(engine, launch(engine.services, made, send).id, 300)
            retired = wait_for(engine, launch(engine.services, RunRequest(RunKind.RETIRE, datastack), send).id, 300)
            mends = RunRequest(RunKind.INCREMENTAL, datastack, base_version=base.version, mends=first.version)
            second = wait_for(engine, launch(engine.services, mends, send).id, 300)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert {first.status, second.status, retired.status} == {RunStatus.SUCCEEDED}, (first.error, second.error)
    assert errors == []
    # Each reader kept its session, and read the same from the first look to the last.
    assert [len(answers) for answers in seen] == [1] * CLIENTS


def read(
    engine: Engine,
    datastack: str,
    version: int,
    sits: bool,
    stop: threading.Event,
    seen: set[tuple[int, ...]],
    errors: list[str],
) -> None:
    """Read a version until told to stop; `seen` gathers (session, rows, sum of roots) of every look."""
    try:
        with closing(engine.services.cluster.raw(frozen_database(datastack, version), "reader")) as connection:
            connection.autocommit = not sits
            while not stop.is_set():
                seen.add(_look(connection, sits, stop))
            if sits:
                connection.commit()
    except psycopg2.Error as error:
        errors.append(str(error))


def _look(connection: Any, sits: bool, stop: threading.Event) -> tuple[int, ...]:
    roots = "SELECT pre_pt_root_id FROM synapses ORDER BY id"
    with connection.cursor(name="sitting") if sits else connection.cursor() as cursor:
        cursor.itersize = 50
        cursor.execute(roots)
        found = []
        for (root,) in cursor:
            found.append(root or 0)
            if sits and len(found) % 50 == 0:
                stop.wait(0.05)
    return connection.get_backend_pid(), len(found), sum(found)
