"""The loop over visits: where the telescope points and when, what a visit needs, and how a run is taken up again."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from .constants import (
    FIRST_NOISE_ID,
    VISITS_PER_DAILY_JOB,
    VISITS_PER_ROW_COUNT,
    FOV_deg,
)
from .errors import BadSources, L1dbError
from .generators import rand_cone_xyz, rand_sphere_xyz
from .htm import unit_vectors
from .l1db import L1db
from .records import Visit
from .sky import Sky
from .tilepool import InProcess, TilePool
from .tiles import FieldOfView
from .timing import MetricsFile, Timings
from .visit import VisitPlan, after, detect

_LOG = logging.getLogger("ap_proto")
_BLUE, _PLAIN = "\033[1;34m", "\033[0m"
_DAY_BEGINS, _NIGHT_BEGINS = 6, 20
"""UTC hours between which nothing is observed."""


@dataclass(frozen=True)
class Footprint:
    """The part of the sky in which pointings are drawn: a cone around a position, all in degrees."""

    ra: float
    decl: float
    radius: float


@dataclass(frozen=True)
class SurveyPlan:
    """What decides a whole run, apart from the database and the sky."""

    interval: timedelta
    seed: int
    n_trans: float
    divide: int = 1
    detection_fraction: float = 1.0
    footprint: Footprint | None = None

    def pointing(self, visit_id: int) -> tuple[float, float, float]:
        """A random direction, in the footprint or the southern hemisphere, which depends on seed and visit alone."""
        seed = [self.seed, visit_id, 1]
        if self.footprint is None:
            x, y, z = rand_sphere_xyz(1, -1, seed)[0].tolist()
        else:
            center = unit_vectors(self.footprint.ra, self.footprint.decl)
            x, y, z = rand_cone_xyz(center, 2 * math.radians(self.footprint.radius), 1, seed)[0].tolist()
        return x, y, z

    def visit(self, visit_id: int, time: datetime, last_object_id: int, last_source_id: int) -> VisitPlan:
        """The plan of one visit."""
        field = FieldOfView(self.pointing(visit_id), math.radians(FOV_deg), self.divide)
        ids = (last_object_id, last_source_id)
        return VisitPlan(visit_id, time, field, self.seed, self.n_trans, *ids, self.detection_fraction)

    def next_time(self, time: datetime) -> datetime:
        """The next moment on the grid of the interval that lies in the night, `time` itself included."""
        while _DAY_BEGINS <= time.hour < _NIGHT_BEGINS:
            time += self.interval
        return time


class Survey:
    """A run of visits over one database and one sky.

    Raises BadSources if the variables' ids would meet those of noise.
    """

    def __init__(self, db: L1db, sky: Sky, plan: SurveyPlan, workers: TilePool | InProcess) -> None:
        if len(sky) >= FIRST_NOISE_ID:
            raise BadSources(f"{len(sky)} variables leave no ids for noise, which begins at {FIRST_NOISE_ID}")
        self._db = db
        self._sky = sky
        self._plan = plan
        self._workers = workers

    def run(
        self,
        visits: int,
        first: Visit | None,
        *,
        update: bool = True,
        explain: bool = False,
        metrics: MetricsFile | None = None,
    ) -> Iterator[int]:
        """Do so many visits after the last one in the database, or from `first` in an empty one; yields each id.

        `first` is the visit to begin with, its ids those in use before. Raises L1dbError if there is neither.
        """
        start = self._start(first)
        for _ in range(visits):
            timings = Timings()
            with timings.stage("Visit", log=False):
                done = self._visit(start, timings, update, explain)
            spent = timings.stages["Visit"]
            _LOG.info("%s--- Finished processing visit %d, time: %s%s", _BLUE, done.visitId, spent, _PLAIN)
            if metrics is not None:
                metrics.write(timings, visit=done.visitId, time=done.visitTime.isoformat(), divide=self._plan.divide)
            start = self._following(done)
            yield done.visitId

    def _start(self, first: Visit | None) -> Visit:
        last = self._db.lastVisit()
        if last is not None:
            return self._following(last)
        if first is None:
            raise L1dbError("the database has no visits yet: give the first one's time with --start-time")
        return first._replace(visitTime=self._plan.next_time(first.visitTime))

    def _following(self, done: Visit) -> Visit:
        time = self._plan.next_time(done.visitTime + self._plan.interval)
        return done._replace(visitId=done.visitId + 1, visitTime=time)

    def _visit(self, start: Visit, timings: Timings, update: bool, explain: bool) -> Visit:
        if start.visitId % VISITS_PER_DAILY_JOB == 0 and update:
            self._daily(timings)
        ids = (start.lastObjectId or 0, start.lastSourceId or 0)
        plan = self._plan.visit(start.visitId, start.visitTime, *ids)
        _begin(plan)
        with timings.stage("DIA"):
            detections = detect(plan, self._sky)
        _LOG.info("DIA generated %d sources", len(detections))
        finished = after(plan, detections)
        with timings.stage("VisitProcessing"):
            self._workers.process(self._db, plan, detections, finished, update, explain, timings)
        timings.add(self._db.timings.take())
        if start.visitId % VISITS_PER_ROW_COUNT == 0:
            self._count_rows(timings)
        return finished

    def _count_rows(self, timings: Timings) -> None:
        for table, rows in self._db.tableRowCount().items():
            _LOG.info("%s row count: %d", table, rows)
            timings.count(f"{table} rows", rows)

    def _daily(self, timings: Timings) -> None:
        _LOG.info("+++ Start daily activities")
        self._db.dailyJob()
        timings.add(self._db.timings.take())
        _LOG.info("+++ Done with daily activities")


def _begin(plan: VisitPlan) -> None:
    _LOG.info("%s+++ Start processing visit %d at %s%s", _BLUE, plan.visit_id, plan.time, _PLAIN)
    x, y, z = plan.field.pointing
    ra, decl = math.degrees(math.atan2(y, x)) % 360, math.degrees(math.asin(z))
    _LOG.info("Pointing ra, decl = %.4f, %.4f; xyz = %s", ra, decl, (x, y, z))
