"""How each fault is inflicted, for real: on processes, servers, disks and answers."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import requests

from materializationengine.domain.records import RunRecord
from materializationengine.kernel.urls import libpq
from materializationengine.storage.ledger import Message
from materializationengine.storage.run_records import find_run, list_runs
from materializationengine.workflows.actions import ACTIONS
from tests.faults.cases import Case, Fault, Flow
from tests.faults.plant import LEASE, Plant, until
from tests.faults.proxy import Spoil
from tests.faults.scenes import Scene

OUTAGE = 30.0


class Stage:
    """One case being played: the scene, its place, and who stopped there."""

    def __init__(self, case: Case, scene: Scene, scratch: Path) -> None:
        self.case, self.scene, self.plant, self.scratch = case, scene, scene.plant, scratch
        self.point, _, self.action = case.at.partition(" ")
        self.record: RunRecord | None = None
        self._locker: psycopg2.extensions.connection | None = None

    # Reaching the place

    def begin(self) -> None:
        """Close the gate, and start the workflow."""
        if self.case.at:
            point = "claimed" if self.point == "inside" else self.point
            _write(self.plant.gates / "hold", f"{point} {self.action}")
        if self.case.flow is Flow.PERIODIC:
            self.scene.schedule_it()
            self.plant.start_beat()
        else:
            self.record = self.scene.start()

    def reach(self) -> int:
        """Wait until a worker stands at the place; returns its process group."""
        met = self.plant.gates / "met"
        until(met.exists, f"somebody reaches {self.case.at}", 90)
        if self.point == "inside":
            self._block()
        return os.getpgid(int(met.read_text().split()[0]))

    def let_go(self) -> None:
        """Open the gate, and take away whatever held a statement."""
        (self.plant.gates / "hold").unlink(missing_ok=True)
        if self._locker is not None:
            with contextlib.suppress(psycopg2.Error):
                self._locker.close()
            self._locker = None

    def _block(self) -> None:
        """Let the unit run into a lock, so that it stands in the middle of a statement."""
        table = f'"synapses__{self.scene.datastack}_pcg"' if self.action.startswith("update_roots") else "synapses"
        database = f"{self.scene.datastack}_volume"
        self._locker = psycopg2.connect(libpq(self.plant.cluster.url, database=database))
        with self._locker.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        (self.plant.gates / "hold").unlink()
        until(self.blocked, f"{self.action} waits for a lock")

    def blocked(self) -> list[int]:
        """Server processes of workers that wait in the middle of a statement."""
        return [
            pid
            for (pid,) in self.plant.rows(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock' "
                "AND application_name LIKE 'matengine worker%%'",
                f"{self.scene.datastack}_volume",
            )
        ]

    # Ends

    def over(self) -> RunRecord:
        """The run's record when it is over."""
        if self.case.flow is Flow.PERIODIC:
            return self.scene.wait_for_firing()
        assert self.record is not None
        return self.scene.wait(self.record.id)

    def units(self) -> list[tuple[int, str, str, int, int]]:
        """(id, action, status, attempt, failures) of the run's units."""
        record = self.over_or_now()
        statement = "SELECT id, action, status, attempt, failures FROM matengine.unit WHERE run_id = %s ORDER BY id"
        return self.plant.rows(statement, record.id, database=record.database)  # type: ignore[return-value]

    def over_or_now(self) -> RunRecord:
        """The run's record as it stands."""
        if self.record is None:
            self.record = find_run(self.plant.engine.services.cluster, until(self.scene.fired, "a run")[0])
        return self.record


def _write(path: Path, text: str) -> None:
    """Whole or not at all: others read it at any time."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def one_worker(stage: Stage) -> None:
    stage.begin()
    group = stage.reach()
    orphans = set(stage.blocked())
    stage.plant.kill(stage.plant.name_of(group))
    # The statement of a killed worker ends with it, not with the lock that it waits for.
    until(lambda: not orphans & set(stage.blocked()), "the statement of the killed worker is gone", 20)
    stage.let_go()
    stage.over()


def all_workers(stage: Stage) -> None:
    stage.begin()
    stage.reach()
    stage.plant.kill_workers()
    stage.let_go()
    stage.plant.start_workers()
    stage.over()


def beat(stage: Stage) -> None:
    stage.begin()
    stage.reach()
    stage.plant.kill("beat")
    stage.plant.start_beat()
    stage.let_go()
    stage.over()


def web(stage: Stage) -> None:
    """The client's request goes unanswered; what it asked for is there or not, as the commit decided."""
    url = stage.plant.start_web()
    _write(stage.plant.gates / "hold", stage.case.at)
    failures: list[requests.RequestException] = []
    thread = threading.Thread(target=_post, args=(url, stage.scene, failures))
    thread.start()
    stage.reach()
    stage.plant.kill("web")
    thread.join()
    stage.let_go()
    assert failures, "the client got an answer from a server that was killed"
    (stage.plant.gates / "met").unlink()
    found = list_runs(stage.plant.engine.services.cluster, stage.scene.datastack, 1)
    stage.record = found[0] if found and found[0].kind is stage.scene.request().kind else None


def _post(url: str, scene: Scene, failures: list[requests.RequestException]) -> None:
    asked = scene.request()
    body: dict[str, object] = {"kind": str(asked.kind), "datastack": scene.datastack}
    if asked.as_of is not None:
        body["timestamp"] = asked.as_of.isoformat()
    if asked.upload is not None:
        made = asked.upload
        created = None if made.created is None else made.created.isoformat()
        body["upload"] = {
            "table": made.table,
            "schema": made.schema,
            "path": made.path,
            "mapping": dict(made.mapping),
            "created": created,
        }
    try:
        answer = requests.post(f"{url}/materialize/api/v3/runs", json=body, timeout=60)
        assert answer.status_code < 400, answer.text
    except requests.RequestException as error:
        failures.append(error)


def redis_flushed(stage: Stage) -> None:
    stage.begin()
    stage.reach()
    stage.plant.broker().flushall()
    stage.let_go()
    stage.over()


def redis_down(stage: Stage) -> None:
    stage.begin()
    stage.reach()
    stage.plant.redis.stop()
    stage.let_go()
    time.sleep(OUTAGE)
    stage.plant.redis.start()
    stage.over()


def postgres(how: signal.Signals) -> Callable[[Stage], None]:
    def restart(stage: Stage) -> None:
        stage.begin()
        stage.reach()
        stage.plant.restart_postgres(how)
        stage.let_go()
        stage.over()

    return restart


def statement(stage: Stage) -> None:
    stage.begin()
    stage.reach()
    for pid in stage.blocked():
        stage.plant.rows("SELECT pg_cancel_backend(%s)", pid)
    until(lambda: not stage.blocked(), "the statement ends")
    stage.let_go()
    stage.over()


def disk_full(stage: Stage) -> None:
    with tiny_disk(stage):
        stage.record = stage.scene.start()
        stage.over()


def disk_full_once(stage: Stage) -> None:
    with tiny_disk(stage) as make_room:
        stage.record = stage.scene.start()
        until(lambda: sum(unit[4] for unit in stage.units()), "a unit finds no room")
        make_room()
        stage.over()


@contextmanager
def tiny_disk(stage: Stage) -> Iterator[Callable[[], None]]:
    """New tables lie on a file system of 32 kB for the time of the block; what it yields makes room there.

    Where nobody may mount one, the action itself is told that there is no room.
    """
    plant, full = stage.plant, stage.plant.gates / "full"
    if not plant.may_mount:
        _write(full, stage.action)
        yield full.unlink
        full.unlink(missing_ok=True)
        return
    plant.use_tiny_disk()
    try:
        yield lambda: plant.room_on_tiny_disk("64m")
    finally:
        plant.use_large_disk()


def graph(how: str, count: int | None = None, seconds: float = 0.0) -> Callable[[Stage], None]:
    def spoil(stage: Stage) -> None:
        stage.begin()
        stage.reach()
        made = Spoil(f"{stage.scene.datastack}_pcg", how, count, seconds)
        stage.plant.proxy.spoil = made
        stage.let_go()
        try:
            stage.over()
        finally:
            stage.plant.proxy.spoil = None
        assert made.met, "no request was spoiled"

    return spoil


def missing_chunk(stage: Stage) -> None:
    """The chunk is away before the world is loaded (`prepare`), so here the run is only played."""
    stage.begin()
    stage.over()


def twice(stage: Stage) -> None:
    (stage.plant.gates / "twice").touch()
    try:
        stage.begin()
        if stage.case.flow is Flow.PERIODIC:
            stage.plant.start_beat("beat2")
        stage.over()
    finally:
        (stage.plant.gates / "twice").unlink()
    quiet(stage.plant)


def late(stage: Stage) -> None:
    stage.begin()
    record = stage.over()
    units = stage.units()
    stage.plant.celery.send([Message(record.database, unit, action) for unit, action, *_ in units])
    quiet(stage.plant)


def same_message(stage: Stage) -> None:
    stage.begin()
    stage.reach()
    (held,) = until(lambda: alone(stage), "only the held unit is at work")
    for _ in range(4):
        stage.plant.celery.send([Message(f"{stage.scene.datastack}_volume", held[0], stage.action)])
    time.sleep(2)
    assert held in stage.units(), "a second worker took a unit that is at work"
    stage.let_go()
    stage.over()


def alone(stage: Stage) -> list[tuple[int, str, str, int, int]]:
    """The held unit, when its neighbors are done."""
    at_work = [unit for unit in stage.units() if unit[1] == stage.action and unit[2] != "DONE"]
    return at_work if len(at_work) == 1 else []


def frozen_worker(stage: Stage) -> None:
    stage.begin()
    group = stage.reach()
    os.killpg(group, signal.SIGSTOP)
    stage.let_go()
    started = time.monotonic()
    stage.over()
    assert time.monotonic() - started > LEASE / 2, "nobody waited for the lease"
    os.killpg(group, signal.SIGCONT)
    time.sleep(2)


def quiet(plant: Plant) -> None:
    """Wait until every message was taken and answered."""
    queues = {action.queue for action in ACTIONS.values()}
    broker = plant.broker()
    until(lambda: not any(broker.llen(name) for name in queues) and not broker.hlen("unacked"), "the queues are empty")


DEEDS: dict[Fault, Callable[[Stage], None]] = {
    Fault.ONE_WORKER: one_worker,
    Fault.ALL_WORKERS: all_workers,
    Fault.BEAT: beat,
    Fault.WEB: web,
    Fault.REDIS_FLUSHED: redis_flushed,
    Fault.REDIS_DOWN: redis_down,
    Fault.POSTGRES_IMMEDIATE: postgres(signal.SIGQUIT),
    Fault.POSTGRES_FAST: postgres(signal.SIGINT),
    Fault.STATEMENT: statement,
    Fault.DISK_FULL: disk_full,
    Fault.DISK_FULL_ONCE: disk_full_once,
    # Three units at a time, each of which bears three such answers to a request.
    Fault.GRAPH_503_ONCE: graph("status", 13),
    Fault.GRAPH_503: graph("status"),
    # One unit, each attempt of which asks twice.
    Fault.GRAPH_TIMEOUT: graph("hang", 5, 3.0),
    Fault.GRAPH_SLOW: graph("slow", None, 1.0),
    Fault.GRAPH_SHORT: graph("short"),
    Fault.GRAPH_PAGE: graph("page"),
    Fault.GRAPH_WRONG: graph("wrong"),
    Fault.MISSING_CHUNK: missing_chunk,
    Fault.TWICE: twice,
    Fault.LATE: late,
    Fault.SAME_MESSAGE: same_message,
    Fault.FROZEN_WORKER: frozen_worker,
}
