"""Bad roots: ids that should not stand in a table are taken away, and are owed until they are looked up again."""

from __future__ import annotations

from dataclasses import dataclass

from ..storage import annotation_tables, rootless_rows
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Remove:
    """Take given roots away from one table."""

    table: str
    roots: tuple[int, ...]


def remove(work: Work, args: Remove) -> Report:
    """Set the given roots to NULL in every root column, with a note that they are owed."""
    table = work.plan.table(args.table)
    state = annotation_tables.segmentation_state(work.connection, table.segmentation or "", lock="FOR UPDATE")
    if state is None:
        return Report(0, {"table": table.name})
    pcg_table = work.plan.stack.pcg_table
    removed = rootless_rows.remove(work.connection, table, pcg_table, args.roots, work.plan.moment)
    return Report(sum(removed.values()), {"table": table.name, "columns": removed})
