"""Two worker processes that do a run's units, and what each of them cost."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from queue import Empty

import structlog

from materializationengine.config import Settings
from materializationengine.domain.plan import RunStatus
from materializationengine.storage.ledger import Message
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest

from .neighbors import InstantServices
from .usage import forget_peak, peak_mb

WORKERS = 2


def quiet() -> None:
    """Only warnings: two lines a unit would be part of what is measured."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@dataclass(frozen=True, slots=True)
class Usage:
    """What one worker process spent so far: CPU seconds, and seconds within the neighbors' answers."""

    cpu: float
    neighbors: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Done:
    """A worker's word after a unit: the messages that follow from it."""

    worker: int
    messages: list[Message]
    usage: Usage


@dataclass(frozen=True, slots=True)
class RunCost:
    """One run: seconds from handing out its first unit until its last one was committed, and what was spent on it."""

    run_id: str
    database: str
    seconds: float
    steps: dict[str, float]
    client_cpu: float
    neighbors: float
    peak_mb: float


def serve(number: int, settings: Settings, history: str, tasks: Queue[Message | None], done: Queue[Done]) -> None:
    """Do units until told to end."""
    quiet()
    services = InstantServices(settings, history)
    owner = f"bench {os.getpid()}"
    for message in iter(tasks.get, None):
        if message.unit == 0:
            # A new run: the peak of memory is that of this run.
            forget_peak()
            done.put(Done(number, [], _usage(services)))
            continue
        following = run_unit(services, message.database, message.unit, owner)
        done.put(Done(number, following, _usage(services)))
    services.close()


def _usage(services: InstantServices) -> Usage:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(spent.ru_utime + spent.ru_stime, services.neighbor_seconds(), peak_mb())


class Crew:
    """The workers, and the driver's end of their queues."""

    def __init__(self, settings: Settings, history: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._services = InstantServices(settings, history)
        self._done: Queue[Done] = context.Queue()
        # One queue for each: the marker between two runs must reach both.
        self._tasks: list[Queue[Message | None]] = [context.Queue() for _ in range(WORKERS)]
        self._usage: dict[int, Usage] = {}
        self._processes = [
            context.Process(target=serve, args=(number, settings, history, tasks, self._done), daemon=True)
            for number, tasks in enumerate(self._tasks)
        ]
        for process in self._processes:
            process.start()

    def run(self, request: RunRequest) -> RunCost:
        """Do a whole run. Raises RuntimeError where it fails."""
        before = self._mark()
        waiting: list[Message] = []
        record = launch(self._services, request, waiting.extend)
        began = time.perf_counter()
        self._work_off(waiting)
        seconds = time.perf_counter() - began
        found = find_run(self._services.cluster, record.id)
        if found.status is not RunStatus.SUCCEEDED:
            raise RuntimeError(f"{found.kind} ended {found.status}: {found.error}")
        spent = [(self._usage[n], before[n]) for n in before]
        return RunCost(
            record.id,
            record.database,
            seconds,
            self._steps(record.database, record.id),
            sum(after.cpu - earlier.cpu for after, earlier in spent),
            sum(after.neighbors - earlier.neighbors for after, earlier in spent),
            max(usage.peak_mb for usage in self._usage.values()),
        )

    def _mark(self) -> dict[int, Usage]:
        for tasks in self._tasks:
            tasks.put(Message("", 0, ""))
        for _ in self._tasks:
            told = self._done.get()
            self._usage[told.worker] = told.usage
        return dict(self._usage)

    def _work_off(self, waiting: list[Message]) -> None:
        idle = set(range(WORKERS))
        while waiting or len(idle) < WORKERS:
            while waiting and idle:
                self._tasks[idle.pop()].put(waiting.pop(0))
            told = self._heard()
            idle.add(told.worker)
            self._usage[told.worker] = told.usage
            waiting += told.messages

    def _heard(self) -> Done:
        """The next word of a worker. Raises RuntimeError where one has ended, which will say nothing any more."""
        while True:
            try:
                return self._done.get(timeout=1)
            except Empty:
                if not all(process.is_alive() for process in self._processes):
                    raise RuntimeError("a worker ended; its traceback is above") from None

    def _steps(self, database: str, run_id: str) -> dict[str, float]:
        with self._services.cluster.connect(database, "bench") as connection:
            rows = connection.rows(
                "SELECT action, extract(epoch FROM min(started))::float8, extract(epoch FROM max(finished))::float8 "
                "FROM matengine.unit WHERE run_id = $1 GROUP BY action, position ORDER BY 2",
                run_id,
            )
        return {action: round(end - start, 4) for action, start, end in rows}

    @property
    def services(self) -> InstantServices:
        """The driver's own parts."""
        return self._services

    def close(self) -> None:
        """End the workers."""
        for tasks in self._tasks:
            tasks.put(None)
        for process in self._processes:
            process.join(timeout=20)
            if process.is_alive():
                process.kill()
        self._services.close()


@contextmanager
def crew(settings: Settings, history: str) -> Iterator[Crew]:
    """Workers for as long as the block runs."""
    found = Crew(settings, history)
    try:
        yield found
    finally:
        found.close()
