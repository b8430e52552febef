"""Bulk upload: `.npy` columns into a new table, in batches, out of sight until it is whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..domain.errors import BadUpload
from ..domain.plan import UploadPlan
from ..domain.ports import Ids
from ..domain.schemas import BoundPoint
from ..domain.upload_values import Values, split_columns
from ..storage.uploads import UploadStage
from .work import Report, Work

_SAMPLE = 1000
"""Rows whose supplied ids are compared with volume and graph."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Check a sample of supplied ids and make the empty tables."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load rows [start, stop) of every file."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Index:
    """Build one key or index."""

    statement: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Move the tables into place."""


def upload_of(work: Work) -> UploadPlan:
    """The plan's upload."""
    if work.plan.upload is None:
        raise ValueError("a bulk upload's plan holds an upload")
    return work.plan.upload


def _stage(work: Work) -> UploadStage:
    return UploadStage(work.connection, work.run_id, upload_of(work))


def _read(work: Work, start: int, stop: int) -> Values:
    upload = upload_of(work)
    folder = work.folder(upload.folder)
    blocks = [folder.rows(source.file, start, stop) for source in upload.sources]
    return split_columns(upload, _stage(work).schema, blocks, start)


def prepare(work: Work, _: Prepare) -> Report:
    """Refuse ids that volume or graph contradict before anything is loaded."""
    stage = _stage(work)
    checked = _check_supplied(work, stage) if stage.has_ids else 0
    stage.create()
    return Report(0, {"ids_checked": checked})


def _check_supplied(work: Work, stage: UploadStage) -> int:
    """Compare a spread of supplied supervoxels with the volume, and supplied roots with the graph."""
    rows, checked = upload_of(work).rows, 0
    # A few windows spread over the files: ranged reads, wherever the files lie.
    for start in np.linspace(0, max(rows - _SAMPLE // 10, 0), 10).astype(int).tolist():
        values = _read(work, start, min(start + _SAMPLE // 10, rows))
        for point in stage.schema.points:
            checked += _check_point(work, point, values, start)
    return checked


def _check_point(work: Work, point: BoundPoint, values: Values, start: int) -> int:
    if point.supervoxel not in values or point.position not in values:
        return 0
    upload = upload_of(work)
    points = values[point.position].astype(np.float64)
    found = work.segmentation().supervoxels(points, upload.table.resolution)
    supplied = values[point.supervoxel].astype(np.int64)
    _compare(point.supervoxel, supplied, found.ids, start, "the volume")
    if point.root in values and upload.roots_as_of is not None:
        roots = work.graph().roots(supplied, upload.roots_as_of)
        moment = upload.roots_as_of.isoformat()
        _compare(point.root, values[point.root].astype(np.int64), roots.roots, start, f"the graph at {moment}")
    return len(supplied)


def _compare(column: str, supplied: Ids, found: npt.NDArray[np.int64], start: int, where: str) -> None:
    wrong = np.flatnonzero(supplied != found)
    if len(wrong):
        row = int(wrong[0])
        raise BadUpload(
            f"{column} row {start + row}: the file says {supplied[row]}, {where} says {found[row]}; check the "
            f"table's resolution and the files' row order, or leave the column out to have it looked up",
            field=column,
            row=start + row,
        )


def load(work: Work, args: Load) -> Report:
    """Load one batch; its rows and the unit's end are one transaction."""
    return Report(_stage(work).load(_read(work, args.start, args.stop), args.start))


def index(work: Work, args: Index) -> Report:
    """Build one key or index of the hidden tables."""
    _stage(work).build(args.statement)
    return Report()


def publish(work: Work, _: Publish) -> Report:
    """Make the table appear, whole."""
    _stage(work).publish(work.plan.stack)
    return Report(upload_of(work).rows, {"table": upload_of(work).table.name})
