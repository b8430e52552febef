"""The plain-Python reference: what the database must hold and answer, kept in dicts and lists."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from lsst.sphgeom import Angle, Circle, HtmPixelization, LonLat, UnitVector3d

from l1dbproto.l1db import DiaForcedSource, DiaObject, DiaSource

BACKENDS = ("sqlite", "postgresql", "mysql")
START = datetime(2026, 1, 1, 20)
_HTM = HtmPixelization(20)


def single(value: float) -> float:
    """A number that single precision holds exactly."""
    return float(np.float32(value))


def vector(ra: float, decl: float) -> UnitVector3d:
    return UnitVector3d(LonLat.fromDegrees(ra, decl))


def htm20(ra: float, decl: float) -> int:
    return int(_HTM.index(vector(ra, decl)))


def circle(ra: float, decl: float, degrees: float) -> Circle:
    return Circle(vector(ra, decl), Angle.fromDegrees(degrees))


def within(record: Any, ra: float, decl: float, degrees: float) -> bool:
    return vector(ra, decl).dot(vector(record.ra, record.decl)) >= math.cos(math.radians(degrees))


def an_object(object_id: int, time: datetime, ra: float, decl: float, **changes: Any) -> DiaObject:
    values = dict.fromkeys(DiaObject._fields, 0.0)
    values |= {
        "diaObjectId": object_id,
        "validityStart": time,
        "validityEnd": None,
        "lastNonForcedSource": time,
    }
    values |= {"ra": ra, "decl": decl, "pmParallaxNdata": 3, "flags": 0, "htmId20": htm20(ra, decl)}
    return DiaObject(**{**values, **changes})


def a_source(source_id: int, object_id: int | None, visit: int, mjd: float, ra: float, decl: float) -> DiaSource:
    values = dict.fromkeys(DiaSource._fields, single(0.1 * source_id))
    values |= {"diaSourceId": source_id, "ccdVisitId": visit, "diaObjectId": object_id, "prv_procOrder": 1}
    values |= {"midPointTai": mjd, "ra": ra, "decl": decl, "flags": 1 << 62, "htmId20": htm20(ra, decl)}
    return DiaSource(**values)


def a_forced(object_id: int, visit: int) -> DiaForcedSource:
    return DiaForcedSource(object_id, visit, single(1.7 * visit), None, 1.5, 2.5, 7)


@dataclass
class Reference:
    """Everything stored so far."""

    versions: list[DiaObject] = field(default_factory=list)
    sources: list[DiaSource] = field(default_factory=list)
    forced: list[tuple[float, DiaForcedSource]] = field(default_factory=list)

    def store(self, time: datetime, mjd: float, objects: Any, sources: Any, forced: Any) -> None:
        new = {o.diaObjectId for o in objects}
        self.versions = [
            v._replace(validityEnd=time) if v.diaObjectId in new and v.validityEnd is None else v for v in self.versions
        ] + list(objects)
        self.sources += sources
        self.forced += [(mjd, f) for f in forced]

    def latest(self) -> dict[int, DiaObject]:
        return {v.diaObjectId: v for v in self.versions if v.validityEnd is None}

    def inside(self, ra: float, decl: float, degrees: float) -> set[int]:
        return {i for i, o in self.latest().items() if within(o, ra, decl, degrees)}

    def sources_in(self, ra: float, decl: float, degrees: float, since: float) -> list[DiaSource]:
        return sorted(s for s in self.sources if within(s, ra, decl, degrees) and s.midPointTai >= since)

    def sources_of(self, ids: set[int], since: float) -> list[DiaSource]:
        return sorted(s for s in self.sources if s.diaObjectId in ids and s.midPointTai >= since)

    def forced_of(self, ids: set[int], since: float) -> list[DiaForcedSource]:
        return sorted((f for mjd, f in self.forced if f.diaObjectId in ids and mjd >= since), key=lambda f: f[:2])


def night(visit: int, spacing: timedelta = timedelta(seconds=39)) -> datetime:
    return START + visit * spacing
