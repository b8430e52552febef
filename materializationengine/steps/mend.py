"""Mend: tables that a published version lacks, or has wrong, are built aside and swapped in."""

from __future__ import annotations

from dataclasses import dataclass

from ..domain.names import frozen_database
from ..domain.plan import TablePlan
from ..kernel import moments
from ..storage import frozen_indexes, version_publishing, version_revisions
from ..storage.incremental_base import Base
from ..storage.incremental_mend import Mend, Swap
from ..storage.tables import Shape
from ..storage.version_publishing import VerifiedTable
from . import frozen
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class SwapIn:
    """Compare the verified tables of the build with the version's, and swap in those that differ."""


def swap_in(work: Work, _: SwapIn) -> Report:
    """Swap what differs, then tell the registry; the version's own note of the swap makes both one deed."""
    mend = Mend(work.cluster, _version_database(work), work.run_id)
    tables = version_publishing.verified_tables(work.connection, work.run_id)
    swapped = mend.done()
    if swapped is None:
        swapped = _swap(work, mend, tables)
    if not swapped:
        return Report(0, {"mended": []})
    affected = [table for table in tables if set(table.facts["digests"]) & set(swapped)]
    revision = version_revisions.record(work.connection, work.plan, work.run_id, affected, swapped)
    return Report(sum(table.rows for table in affected), {"mended": swapped, "revision": revision})


def _swap(work: Work, mend: Mend, tables: list[VerifiedTable]) -> list[str]:
    swaps = [swap for table in tables for swap in _differing(work, mend, table)]
    if swaps:
        build = frozen.build(work)
        frozen_indexes.add_keys(work.cluster, build, [swap.shape.table for swap in swaps])
        views = mend.put_aside(build, [swap.shape for swap in swaps])
        mend.swap(swaps, views)
    return [swap.shape.table for swap in swaps]


def _differing(work: Work, mend: Mend, table: VerifiedTable) -> list[Swap]:
    """The table's shapes that the version lacks, or whose rows are other than those verified."""
    version = Base(work.cluster, _version_database(work))
    return [
        Swap(shape, _metadata(work, table) if shape.table == table.table else None)
        for shape in _shapes(work, table)
        if not version.has(shape) or mend.digest(shape).text != table.facts["digests"][shape.table]
    ]


def _shapes(work: Work, table: VerifiedTable) -> list[Shape]:
    plan: TablePlan = next(each for each in work.plan.version_plan.tables if each.name == table.table)
    shapes = frozen.shapes(work, plan, plan.segmentation)
    return [shape for shape in shapes if shape.table in table.facts["digests"]]


def _metadata(work: Work, table: VerifiedTable) -> tuple[object, ...]:
    plan = work.plan
    source, merged = plan.stack.segmentation_source, not plan.version_plan.split
    return (table.schema, table.table, table.rows, moments.naive(plan.moment), source, merged)


def _version_database(work: Work) -> str:
    return frozen_database(work.plan.stack.name, work.plan.mends or 0)
