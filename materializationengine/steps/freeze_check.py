"""Freeze: one table of a build is compared with what was copied, and asked about again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

from .. import __version__
from ..domain.errors import VerificationFailed
from ..domain.plan import TablePlan
from ..domain.schemas import BoundPoint, Role, schema
from ..kernel.columns import Connection
from ..kernel.trace import Threads
from ..storage import frozen_build, frozen_checks
from ..storage.content_digest import FACT, Content, content
from ..storage.tables import Shape
from ..storage.version_content import source
from . import frozen
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Verify:
    """Compare one table with the snapshot; `digests` holds (table of the build, rows, digest) of its shapes.

    `compared` says that the digests were taken of the build's own tables, which were compared already.
    """

    table: str
    digests: tuple[tuple[str, int, str], ...]
    compared: bool = False


def verify(work: Work, args: Verify) -> Report:
    """Count, compare digests, ask roots again. Raises VerificationFailed."""
    table = next(table for table in work.plan.version_plan.tables if table.name == args.table)
    parts = work.settings.copy_threads
    with Threads(parts) as beside:
        contents = [beside.submit(_content, work, table, (part, parts)) for part in range(parts)]
        _compare(work, args)
        checked = _check_rows(work, table, [(frozen.shape(work, name), rows) for name, rows, _ in args.digests])
    facts = {
        "table": table.name,
        "schema": table.schema,
        "digest": args.digests[0][2],
        "digests": {name: digest for name, _, digest in args.digests},
        "software": __version__,
        FACT: reduce(add, (found.result() for found in contents)).digest,
        **checked,
    }
    return Report(args.digests[0][1], facts)


def _compare(work: Work, args: Verify) -> None:
    for name, rows, digest in () if args.compared else args.digests:
        found = frozen_build.table_digest(work.cluster, frozen.build(work), name, frozen.shape(work, name).columns)
        if (found.rows, found.text) != (rows, digest):
            raise VerificationFailed(f"{name}: {found.rows} rows, digest {found.text}; copied {rows}, digest {digest}")


def _content(work: Work, table: TablePlan, part: tuple[int, int]) -> Content:
    """What readers can recompute from their answers, of one part of the rows: a part for each thread."""
    split = work.plan.version_plan.split
    with work.cluster.connect(frozen.build(work), "digest") as connection:
        known = source(connection, table.name, table.schema, work.plan.stack.pcg_table, split)
        return content(connection, known, work.plan.moment, part)


def _check_rows(work: Work, table: TablePlan, shapes: list[tuple[Shape, int]]) -> dict[str, int]:
    facts: dict[str, int] = {}
    with work.cluster.connect(frozen.build(work), "verify") as connection:
        points = [(shape.table, point) for shape, _ in shapes for point in shape.points]
        held = {shape.table: rows for shape, rows in shapes}
        for name, point in points:
            asked = _ask_again(work, connection, name, point, held[name])
            facts["roots_asked_again"] = facts.get("roots_asked_again", 0) + asked
        if points:
            holder = points[0][0]
            facts["unresolved"] = frozen_checks.count_null_roots(connection, holder, [p for _, p in points])
        facts |= _orphans(connection, table)
    return facts


def _ask_again(work: Work, connection: Connection, table: str, point: BoundPoint, rows: int) -> int:
    supervoxels, roots = frozen_checks.sampled_pairs(connection, table, point, work.settings.verify_roots, rows)
    if not len(supervoxels):
        return 0
    found = work.graph().roots(supervoxels, work.plan.moment)
    wrong = found.contradicts(roots)
    if len(wrong):
        first = int(wrong[0])
        raise VerificationFailed(
            f"{table}.{point.root}: {len(wrong)} of {len(roots)} roots differ from the graph's at "
            f"{work.plan.moment.isoformat()}; supervoxel {supervoxels[first]} has {roots[first]} here, "
            f"{found.roots[first]} there"
        )
    return len(supervoxels)


def _orphans(connection: Connection, table: TablePlan) -> dict[str, int]:
    target = next((c for c in schema(table.schema).annotation_columns() if c.role is Role.TARGET), None)
    reference = table.reference_table
    if target is None or reference is None or not frozen_checks.has_table(connection, reference):
        return {}
    return {"orphans": frozen_checks.count_orphans(connection, table.name, target.name, reference)}
