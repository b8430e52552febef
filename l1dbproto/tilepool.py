"""Tiles of a visit in worker processes, each with a connection of its own that it keeps."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import AlreadyStored, StoreUnavailable
from .l1db import L1db
from .records import Visit
from .tiles import Tile
from .timing import Timings
from .visit import Detections, VisitPlan, process

_LOG = logging.getLogger("ap_proto")


@dataclass(frozen=True)
class TileJob:
    """What a worker needs to do one tile; the region is made again there, since it does not pickle."""

    plan: VisitPlan
    detections: Detections
    number: int
    finished: Visit
    update: bool
    explain: bool


class InProcess:
    """No workers: the whole visit at once, in one transaction."""

    def process(
        self,
        db: L1db,
        plan: VisitPlan,
        detections: Detections,
        finished: Visit,
        update: bool,
        explain: bool,
        timings: Timings,
    ) -> None:
        """Do a visit."""
        (tile,) = plan.field.tiles()
        process(db, plan, detections, tile, finished, update=update, explain=explain)


class TilePool:
    """Worker processes that do the tiles of a visit side by side.

    Each tile is one transaction that leaves its number behind, so that a visit cut short goes on with the tiles that
    are missing. The visit is saved when all are stored.
    """

    def __init__(self, config: Path, workers: int, configure_logging: Callable[[], None]) -> None:
        # Spawned, not forked: the parent has threads and a connection that no child may inherit.
        self._pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _start, (config, configure_logging)
        )

    def process(
        self,
        db: L1db,
        plan: VisitPlan,
        detections: Detections,
        finished: Visit,
        update: bool,
        explain: bool,
        timings: Timings,
    ) -> None:
        """Do the tiles of a visit that are not stored yet, then save it; the workers' figures go to `timings`."""
        stored = db.tilesStored(plan.visit_id) if update else frozenset()
        place = plan.field.numbers(detections.xyz)
        missing = [tile.number for tile in plan.field.tiles() if tile.number not in stored]
        if stored:
            _LOG.info("%d tiles of visit %d are stored already", len(stored), plan.visit_id)
        jobs = [TileJob(plan, detections.part(place == n), n, finished, update, explain) for n in missing]
        try:
            for done in self._pool.map(_work, jobs):
                timings.add(done)
        except BrokenProcessPool as error:
            raise StoreUnavailable(f"a worker died in visit {plan.visit_id}; run again to go on with it") from error
        if update:
            db.saveVisit(*finished)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)


class _Worker:
    """The database of this worker process, set when it starts; a pool can hand its workers nothing else."""

    db: L1db


def _start(config: Path, configure_logging: Callable[[], None]) -> None:
    configure_logging()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _Worker.db = L1db(config)


def _die_with_parent() -> None:
    """End at once when the parent is killed, lest a tile be stored while another run already takes the visit up."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _work(job: TileJob) -> Timings:
    (tile,) = (tile for tile in job.plan.field.tiles() if tile.number == job.number)
    db = _Worker.db
    try:
        _do(db, job, tile)
    except AlreadyStored:
        # A predecessor's last transaction may have ended after we asked what was stored.
        if job.number not in db.tilesStored(job.plan.visit_id):
            raise
    return db.timings.take()


def _do(db: L1db, job: TileJob, tile: Tile) -> None:
    process(db, job.plan, job.detections, tile, job.finished, update=job.update, explain=job.explain)
