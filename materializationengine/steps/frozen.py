"""What the steps that build a version share: the name of their database, and the shapes of its tables."""

from __future__ import annotations

from ..domain.names import build_database
from ..domain.plan import TablePlan
from ..domain.schemas import schema
from ..storage.tables import Shape, merged_shape, split_shapes
from .work import Work


def build(work: Work) -> str:
    """The database that becomes the version; its name is this run's alone."""
    return build_database(work.run_id, work.token)


def shapes(work: Work, table: TablePlan, segmentation: str | None) -> tuple[Shape, ...]:
    """The frozen tables of one table: one, or in a split version the segmentation beside it."""
    kind = schema(table.schema)
    if work.plan.version_plan.split:
        return split_shapes(table.name, segmentation, kind)
    return (merged_shape(table.name, kind),)


def shape(work: Work, name: str) -> Shape:
    """The shape of a table of the build."""
    tables = work.plan.version_plan.tables
    known = (found for table in tables for found in shapes(work, table, table.segmentation))
    return next(found for found in known if found.table == name)
