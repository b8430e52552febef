"""One visit of the alert production: what was detected, what the database knows, and what it stores of both."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .constants import FIRST_NOISE_ID, FORCED_CUTOFF_DAYS
from .DIA import DIA, Variables
from .generators import Vectors
from .htm import pixels, positions, unit_vectors
from .l1db import L1db
from .moments import mjd_tai
from .records import Visit
from .tables import DIA_OBJECT, FULL_OBJECT, SHORT_OBJECT
from .tiles import FieldOfView, Tile

_LOG = logging.getLogger("ap_proto")
Ids = npt.NDArray[np.int64]

POSITION_ERROR = 2.8e-5
"""Error of a position in degrees: a tenth of an arcsecond."""


@dataclass(frozen=True)
class VisitPlan:
    """Everything that decides what a visit detects; the same plan always gives the same detections.

    `last_object_id` and `last_source_id` are the largest ids in use before it.
    """

    visit_id: int
    time: datetime
    field: FieldOfView
    seed: int
    n_trans: float
    last_object_id: int
    last_source_id: int
    detection_fraction: float = 1.0


@dataclass(frozen=True)
class Detections:
    """Detections of a visit, or of a part of it, one array element each."""

    xyz: Vectors
    object_ids: Ids
    source_ids: Ids
    flux: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.object_ids)

    def part(self, chosen: npt.NDArray[np.bool_]) -> Detections:
        """The chosen detections, under the ids that they have in the whole."""
        return Detections(self.xyz[chosen], self.object_ids[chosen], self.source_ids[chosen], self.flux[chosen])

    @property
    def noise(self) -> int:
        """How many are noise or transients."""
        return int(np.count_nonzero(self.object_ids > FIRST_NOISE_ID))


def detect(plan: VisitPlan, variables: Vectors | Variables) -> Detections:
    """Simulate the image analysis. Noise gets ids of its own, which are never seen again."""
    rng = np.random.default_rng([plan.seed, plan.visit_id])
    dia = DIA(plan.field.pointing, plan.field.open_angle, variables, plan.n_trans, rng, plan.detection_fraction)
    xyz, ids = dia.makeSources()
    noise = ids < 0
    first = max(FIRST_NOISE_ID, plan.last_object_id) + 1
    ids[noise] = np.arange(first, first + np.count_nonzero(noise))
    source_ids = np.arange(len(ids), dtype=np.int64) + plan.last_source_id + 1
    return Detections(xyz, ids, source_ids, rng.lognormal(7.0, 1.0, len(ids)).astype(np.float32))


def after(plan: VisitPlan, detections: Detections) -> Visit:
    """The visit as it is saved once all of it is stored."""
    last_object = max([plan.last_object_id, FIRST_NOISE_ID, *detections.object_ids.tolist()])
    return Visit(plan.visit_id, plan.time, last_object, plan.last_source_id + len(detections))


def process(
    db: L1db,
    plan: VisitPlan,
    detections: Detections,
    tile: Tile,
    finished: Visit,
    *,
    update: bool = True,
    explain: bool = False,
) -> None:
    """Read, match and store one tile of a visit, or the whole; the timings are the database object's.

    Matching is by identity: the id travels with the detection, as in the seed.
    """
    timings, divided = db.timings, plan.field.divide > 1
    timings.prefix = f"tile={tile.name} " if divided else ""
    with timings.stage("Objects-read"):
        known = _inside(db, db.getDiaObjects_batch(tile.region, explain), plan.field, tile)
    with timings.stage("S2O-matching"):
        objects, known_ids = _match(plan, detections, known), known.column("diaObjectId").to_numpy()
    with timings.stage("Source-read"):
        sources = db.getDiaSources_batch(tile.region, known_ids, explain, visit_time=plan.time)
        forced = db.getDiaFSources_batch(known_ids, explain, visit_time=plan.time)
    _tell(db, "database found %d sources", "src_selected", sources.num_rows)
    _tell(db, "database found %d forced sources", "fsrc_selected", forced.num_rows)
    if not update:
        return
    new_forced = _forced_sources(plan, objects, detections)
    new_sources = _sources(plan, detections)
    for what, rows in (("Objects", objects), ("Sources", new_sources), ("ForcedSources", new_forced)):
        _tell(db, f"will store %d {what}", f"stored_{what}", rows.num_rows)
    with timings.stage("L1-store"):
        number = tile.number if divided else None
        db.store_visit(finished, objects, new_sources, new_forced, explain, tile=number)


def _tell(db: L1db, text: str, name: str, rows: int) -> None:
    _LOG.info("%s" + text, db.timings.prefix, rows)
    db.timings.count(name, rows)


def _inside(db: L1db, known: pa.Table, field: FieldOfView, tile: Tile) -> pa.Table:
    """Of the known objects, those in the field of view and in the tile."""
    _tell(db, "database found %d objects", "obj_selected", known.num_rows)
    xyz = unit_vectors(known.column("ra"), known.column("decl"))
    chosen = field.holds(xyz)
    if field.divide > 1:
        chosen &= field.numbers(xyz) == tile.number
    inside = known.filter(pa.array(chosen))
    _tell(db, "after filtering %d objects", "obj_in_fov", inside.num_rows)
    return inside


def _match(plan: VisitPlan, detections: Detections, known: pa.Table) -> pa.Table:
    """New versions: of everything detected, and of every known object seen in the last 30 days."""
    seen = _detected(plan, detections)
    recent = np.datetime64(plan.time, "us") - np.timedelta64(FORCED_CUTOFF_DAYS, "D")
    missed = ~np.isin(known.column("diaObjectId").to_numpy(), detections.object_ids)
    missed &= known.column("lastNonForcedSource").to_numpy() >= recent
    matched = len(detections) - detections.noise
    _LOG.info("found %d matching objects and %d transients/noise", matched, detections.noise)
    undetected = known.filter(pa.array(missed)).select(SHORT_OBJECT)
    return pa.concat_tables([_versions(plan, seen), _versions(plan, undetected)])


def _detected(plan: VisitPlan, detections: Detections) -> pa.Table:
    """The fields of `DiaObject_short` for what was detected."""
    count = len(detections)
    ra, decl = positions(detections.xyz)
    return pa.table(
        {
            "diaObjectId": detections.object_ids,
            "lastNonForcedSource": _moments(plan, count),
            "ra": ra,
            "decl": decl,
            "raSigma": _constant(count, POSITION_ERROR),
            "declSigma": _constant(count, POSITION_ERROR),
            "ra_decl_Cov": _constant(count, 0.0),
            "htmId20": pixels(detections.xyz),
        }
    )


def _versions(plan: VisitPlan, short: pa.Table) -> pa.Table:
    """Whole `DiaObject` columns; what the simulation does not model is zero."""
    count = short.num_rows
    made = {name: short.column(name) for name in SHORT_OBJECT}
    made |= {"validityStart": _moments(plan, count), "radecTai": np.full(count, mjd_tai(plan.time))}
    rest = DIA_OBJECT.arrow(name for name in FULL_OBJECT if name not in made and name != "validityEnd")
    made |= {field.name: np.zeros(count, dtype=field.type.to_pandas_dtype()) for field in rest}
    return pa.table(made)


def _sources(plan: VisitPlan, detections: Detections) -> pa.Table:
    count = len(detections)
    ra, decl = positions(detections.xyz)
    pixel = {name: _constant(count, 0.0) for name in ("x", "xSigma", "y", "ySigma", "x_y_Cov", "ra_decl_Cov")}
    return pa.table(
        {
            "diaSourceId": detections.source_ids,
            "ccdVisitId": np.full(count, plan.visit_id),
            "diaObjectId": detections.object_ids,
            "prv_procOrder": np.zeros(count, dtype=np.int32),
            "midPointTai": np.full(count, mjd_tai(plan.time)),
            "ra": ra,
            "raSigma": _constant(count, POSITION_ERROR),
            "decl": decl,
            "declSigma": _constant(count, POSITION_ERROR),
            **pixel,
            "apFlux": detections.flux,
            "apFluxErr": np.sqrt(detections.flux),
            "snr": np.sqrt(detections.flux),
            "flags": np.zeros(count, dtype=np.int64),
            "htmId20": pixels(detections.xyz),
        }
    )


def _forced_sources(plan: VisitPlan, objects: pa.Table, detections: Detections) -> pa.Table:
    """One for every object that gets a new version, detected or not; where nothing was detected the flux is zero."""
    count = objects.num_rows
    flux = np.zeros(count, dtype=np.float32)
    flux[: len(detections)] = detections.flux
    return pa.table(
        {
            "diaObjectId": objects.column("diaObjectId"),
            "ccdVisitId": np.full(count, plan.visit_id),
            "psFlux": flux,
            "psFluxSigma": np.sqrt(flux),
            "x": _constant(count, 0.0),
            "y": _constant(count, 0.0),
            "flags": np.zeros(count, dtype=np.int64),
            "midPointTai": np.full(count, mjd_tai(plan.time)),
        }
    )


def _moments(plan: VisitPlan, count: int) -> pa.Array:
    return pa.array(np.full(count, np.datetime64(plan.time, "us")))


def _constant(count: int, value: float) -> npt.NDArray[np.float32]:
    return np.full(count, value, dtype=np.float32)
