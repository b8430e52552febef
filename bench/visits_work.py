"""The fixed work of the L1 comparison, done by ours: visits over a few fields, every stage timed.

Visit v looks at field v mod F. Two thirds of its N detections are the field's variables, the same every time, one third
is noise with new ids. Per visit: read the objects in the circle, keep those inside, read the sources and forced
sources of all of them, store one object and one source per detection and one forced source per object known before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from l1dbproto.constants import FIRST_NOISE_ID, FOV_deg
from l1dbproto.generators import Vectors, rand_cone_xyz
from l1dbproto.htm import pixels, positions, unit_vectors
from l1dbproto.l1db import L1db
from l1dbproto.moments import mjd_tai
from l1dbproto.records import Visit
from l1dbproto.tables import DIA_OBJECT, DIA_SOURCE, FULL_OBJECT, TableDef
from l1dbproto.tiles import FieldOfView

_START = datetime(2026, 1, 1, 20)
_SPACING = timedelta(seconds=39)
_IDS_PER_VISIT = 1_000_000
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Work:
    """How many sources a visit has, how many fields there are, and whether optional columns are filled too."""

    sources: int
    fields: int = 3
    wide: bool = False
    seed: int = 42


@dataclass
class Row:
    """One visit: seconds (wall clock, processor time of ours and of the server) and rows of every stage."""

    visit: int
    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    server: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Field:
    view: FieldOfView
    variables: Vectors
    ids: Ids


class Stages:
    """Times the stages of one visit; `server` tells the processor time of the database server so far."""

    def __init__(self, row: Row, server: Callable[[], float]) -> None:
        self._row = row
        self._server = server

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the body as the stage `name`."""
        server, cpu, wall = self._server(), time.process_time(), time.perf_counter()
        yield
        self._row.wall[name] = time.perf_counter() - wall
        self._row.cpu[name] = time.process_time() - cpu
        self._row.server[name] = self._server() - server


def run(config: Path, work: Work, visits: int, server: Callable[[], float] = float) -> Iterator[Row]:
    """Do the work on the (empty or pre-filled) database of a configuration file, visit by visit."""
    db, rng = L1db(config), np.random.default_rng(work.seed)
    places = [_field(work, number, rng) for number in range(work.fields)]
    next_id = FIRST_NOISE_ID
    for number in range(visits):
        place, row = places[number % work.fields], Row(number)
        noise = rand_cone_xyz(place.view.pointing, place.view.open_angle, int(rng.poisson(work.sources / 3)), rng)
        ids = np.concatenate([place.ids, np.arange(next_id, next_id + len(noise))])
        next_id += len(noise)
        xyz, wide = np.concatenate([place.variables, noise]), rng if work.wide else None
        _visit(db, row, Stages(row, server), place.view, ids, xyz, wide)
        yield row
    db.close()


def moment_of(visit: int) -> datetime:
    """When a visit takes place."""
    return _START + visit * _SPACING


def view_of(number: int) -> FieldOfView:
    """Where the telescope looks for a field."""
    x, y, z = unit_vectors(30 + 4.5 * number, -20.0).tolist()
    return FieldOfView((x, y, z), math.radians(FOV_deg))


def _field(work: Work, number: int, rng: np.random.Generator) -> _Field:
    view = view_of(number)
    count = round(work.sources * 2 / 3)
    ids = np.arange(count) + number * count + 1
    return _Field(view, rand_cone_xyz(view.pointing, view.open_angle, count, rng), ids)


def _visit(
    db: L1db,
    row: Row,
    stage: Stages,
    view: FieldOfView,
    ids: Ids,
    xyz: Vectors,
    wide: np.random.Generator | None,
) -> None:
    moment = moment_of(row.visit)
    with stage("read_obj"):
        known = db.getDiaObjects_batch(view.circle)
    inside = view.holds(unit_vectors(known.column("ra"), known.column("decl")))
    known_ids = known.column("diaObjectId").to_numpy()[inside]
    with stage("read_src"):
        sources = db.getDiaSources_batch(view.circle, known_ids, visit_time=moment)
    with stage("read_fsrc"):
        forced = db.getDiaFSources_batch(known_ids, visit_time=moment)
    row.rows = {"read_obj": known.num_rows, "read_src": sources.num_rows, "read_fsrc": forced.num_rows}
    new_objects, new_sources = _objects(moment, ids, xyz, wide), _sources(row.visit, moment, ids, xyz, wide)
    new_forced = _forced(row.visit, ids[np.isin(ids, known_ids)])
    with stage("store"):
        # The trixels are part of storing, as they are in the package compared with.
        htm = pa.array(pixels(xyz))
        new_objects, new_sources = (t.append_column("htmId20", htm) for t in (new_objects, new_sources))
        db.store_visit(Visit(row.visit, moment, 0, 0), new_objects, new_sources, new_forced)
    row.rows |= {"store_obj": len(ids), "store_src": len(ids), "store_fsrc": new_forced.num_rows}


def _objects(moment: datetime, ids: Ids, xyz: Vectors, wide: np.random.Generator | None) -> pa.Table:
    count, (ra, decl) = len(ids), positions(xyz)
    now = np.full(count, np.datetime64(moment, "us"))
    made = {"diaObjectId": ids, "validityStart": now, "lastNonForcedSource": now, "ra": ra, "decl": decl}
    return _filled(made, DIA_OBJECT, FULL_OBJECT, count, wide)


def _sources(number: int, moment: datetime, ids: Ids, xyz: Vectors, wide: np.random.Generator | None) -> pa.Table:
    count, (ra, decl) = len(ids), positions(xyz)
    made = {
        "diaSourceId": np.arange(count) + (number + 1) * _IDS_PER_VISIT,
        "ccdVisitId": np.full(count, number),
        "diaObjectId": ids,
        "midPointTai": np.full(count, mjd_tai(moment)),
        "ra": ra,
        "decl": decl,
    }
    needed = [column.name for column in DIA_SOURCE.columns if not column.nullable]
    return _filled(made, DIA_SOURCE, needed, count, wide)


def _filled(
    made: dict[str, npt.NDArray[np.generic]],
    table: TableDef,
    needed: list[str] | tuple[str, ...],
    count: int,
    wide: np.random.Generator | None,
) -> pa.Table:
    """The other columns: zero where a value must be, random in all that can hold a number if `wide`."""
    skipped = {*made, "validityEnd", "htmId20"}
    arrays: dict[str, object] = dict(made)
    for column in table.columns:
        if column.name in skipped or not (column.name in needed or wide):
            continue
        if column.kind == "T":
            arrays[column.name] = made["validityStart"] if "validityStart" in made else pa.nulls(count, column.arrow)
        elif column.kind == "B":
            arrays[column.name] = pa.array([b"r"] * count)
        else:
            values = wide.random(count) * 1000 if wide else np.zeros(count)
            arrays[column.name] = values.astype(column.arrow.to_pandas_dtype())
    return pa.table(arrays)


def _forced(number: int, ids: Ids) -> pa.Table:
    count = len(ids)
    zeros = np.zeros(count, dtype=np.float32)
    flags = np.zeros(count, dtype=np.int64)
    visits = np.full(count, number)
    return pa.table(
        {
            "diaObjectId": ids,
            "ccdVisitId": visits,
            "psFlux": zeros,
            "psFluxSigma": zeros,
            "x": zeros,
            "y": zeros,
        }
        | {"flags": flags}
    )
