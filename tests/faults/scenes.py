"""What each workflow needs before it, and how it is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel import moments
from materializationengine.storage import schedules
from materializationengine.storage.ledger import Message
from materializationengine.storage.live_database import ensure
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest
from tests.faults.cases import Flow
from tests.faults.plant import Plant, until
from tests.harness import copy_world
from tests.workflows.chain import day, upload
from tests.workflows.workers import wait_for

SOME = tuple(range(1, 250))
SLOW = 180.0
"""Seconds that a run may take, with 30 s of an outage in it and other work on the machine."""


@dataclass
class Scene:
    """One datastack in a plant, and the workflow that is played on it."""

    plant: Plant
    flow: Flow
    datastack: str
    world: Path

    def prepare(self) -> None:
        """Whatever the workflow needs."""
        self.plant.neighbors.worlds.load(self.world, self.datastack, None)
        ensure(self.plant.engine.services.cluster, f"{self.datastack}_volume")
        for request in self._before():
            record = self.run(request)
            assert record.status is RunStatus.SUCCEEDED, record.error
        if self.flow is Flow.RETIRE:
            self.plant.rows("UPDATE analysisversion SET expires_on = '2026-01-01'", database=f"{self.datastack}_volume")

    def _before(self) -> Iterator[RunRequest]:
        if self.flow is Flow.UPLOAD:
            return
        yield upload(self.world, self.datastack)
        if self.flow in (Flow.COMPLETE, Flow.PERIODIC):
            yield self._asked(RunKind.INGEST, 0, table="synapses", annotation_ids=SOME)
        elif self.flow is Flow.INCREMENTAL:
            yield self._asked(RunKind.COMPLETE, 20)
            yield self._asked(RunKind.UPDATE_ROOTS, 40)
        elif self.flow is not Flow.INGEST:
            yield self._asked(RunKind.INGEST, 0)
        if self.flow is Flow.RETIRE:
            yield self._asked(RunKind.FREEZE, 10)
            yield self._asked(RunKind.FREEZE, 20)

    def request(self) -> RunRequest:
        """The workflow itself."""
        match self.flow:
            case Flow.UPLOAD:
                return upload(self.world, self.datastack)
            case Flow.INGEST:
                return self._asked(RunKind.INGEST, 0)
            case Flow.UPDATE:
                return self._asked(RunKind.UPDATE_ROOTS, 40)
            case Flow.FREEZE | Flow.SPLIT:
                # Of another moment than the live tables, so that a freeze asks for roots as well.
                return self._asked(RunKind.FREEZE, 30, split=self.flow is Flow.SPLIT)
            case Flow.COMPLETE | Flow.PERIODIC:
                return self._asked(RunKind.COMPLETE, 40)
            case Flow.INCREMENTAL:
                return self._asked(RunKind.INCREMENTAL, 40, base_version=1)
            case Flow.RETIRE:
                return RunRequest(RunKind.RETIRE, self.datastack, keep=1)

    def _asked(self, kind: RunKind, number: float, **fields: object) -> RunRequest:
        return RunRequest(kind, self.datastack, as_of=day(number), **fields)  # type: ignore[arg-type]

    def run(self, request: RunRequest) -> RunRecord:
        """A whole run by the workers, however it ends."""
        return self.wait(self.start(request).id)

    def start(self, request: RunRequest | None = None) -> RunRecord:
        """Start a run, by default the workflow itself."""
        return launch(self.plant.engine.services, request or self.request(), self._send)

    def _send(self, messages: Sequence[Message]) -> None:
        self.plant.celery.send(messages)
        if (self.plant.gates / "twice").exists():
            self.plant.celery.send(messages)

    def wait(self, run_id: str) -> RunRecord:
        """The record of a run when it is over."""
        return wait_for(self.plant.engine, run_id, SLOW)

    # Periodic

    @property
    def schedule(self) -> str:
        """The name of this scene's schedule."""
        return f"nightly {self.datastack}"

    def schedule_it(self) -> None:
        """A schedule that was off for days, so that its newest slot fires as soon as somebody looks."""
        cluster, now = self.plant.engine.services.cluster, moments.now()
        ensure(cluster, cluster.home)
        with cluster.connect() as connection:
            schedules.last_slot(connection, self.schedule, now - timedelta(days=3))
        found = {
            "name": self.schedule,
            "task": "run_periodic_materialization",
            "minute": 0,
            "hour": (now - timedelta(hours=2)).hour,
            "datastack_params": {"datastack": self.datastack, "days_to_expire": 7, "merge_tables": True},
        }
        self.plant.schedules.write_text(json.dumps([found]))

    def fired(self) -> list[str]:
        """The runs that the schedule started."""
        with self.plant.engine.services.cluster.connect() as connection:
            return [run for firing in schedules.firings(connection, self.schedule) for run in firing.runs]

    def outcomes(self) -> list[str]:
        """What became of each slot, newest first."""
        with self.plant.engine.services.cluster.connect() as connection:
            return [firing.outcome for firing in schedules.firings(connection, self.schedule)]

    def wait_for_firing(self) -> RunRecord:
        """The run of the slot when it is over."""
        return self.wait(until(self.fired, "the schedule fires", 90)[0])

    # A volume with a hole

    def take_chunk_away(self, folder: Path) -> Path:
        """Play on a copy of the world that lacks a chunk of its volume; returns where the chunk waits."""
        self.world = copy_world(self.world, folder / self.datastack)
        (self.world / "segmentation").unlink()
        shutil.copytree(folder.parent / "world/segmentation", self.world / "segmentation")
        chunks = sorted(path for path in (self.world / "segmentation").glob("*/*_*_*") if path.is_file())
        kept = folder / f"{self.datastack}.chunk"
        chunks[0].rename(kept)
        (folder / f"{self.datastack}.name").write_text(str(chunks[0]))
        return kept

    def put_chunk_back(self, kept: Path) -> None:
        """Mend the volume."""
        kept.rename(kept.with_suffix(".name").read_text())
