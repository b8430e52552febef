"""What a query reads from: the relations of its tables, and each column's expression over them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ..domain.query_plan import Link, LiveRoots, QueryPlan, has_valid
from ..domain.schemas import BoundPoint, Column, Role, SqlType
from . import literals
from .sql import quote
from .tables import qualified, visible


def with_roots(plan: QueryPlan) -> str:
    """The roots of the moment as common tables `p0`, `p1`, ...; nothing where the live ones are right."""
    parts = [
        f"p{number} (supervoxel, root) AS (SELECT * FROM {_pairs(source.roots)})"
        for number, source in enumerate(plan.sources)
        if source.roots is not None and len(source.roots.asked)
    ]
    return f"WITH {', '.join(parts)} " if parts else ""


def _pairs(roots: LiveRoots) -> str:
    supervoxels = literals.array(tuple(roots.asked.tolist()), "bigint")
    known = zip(roots.found.roots.tolist(), roots.found.resolved.tolist(), strict=True)
    found = literals.listed([str(root) if resolved else "NULL" for root, resolved in known], "bigint")
    return f"unnest({supervoxels}, {found})"


def relations(plan: QueryPlan, percent: float | None) -> str:
    """The tables, joined. `percent` of the first one is looked at, if given."""
    whole = percent is None or plan.sources[0].view is not None
    sample = "" if whole else f" TABLESAMPLE BERNOULLI ({percent!r})"
    text = _relation(plan, 0, sample)
    for link in plan.links:
        on = f"{name(plan, link.left, link.left_column)} = {name(plan, link.right, link.right_column)}"
        right = _relation(plan, link.right, "")
        text += f" JOIN ({right}) ON {on}" if segmented(plan, link.right) else f" JOIN {right} ON {on}"
    return text


def _relation(plan: QueryPlan, number: int, sample: str) -> str:
    source = plan.sources[number]
    text = f"{qualified(source.name)} AS t{number}{sample}"
    if segmented(plan, number):
        # Where live roots are bounded a row without any does not pass: the planner finds that out too, but slowly (m).
        kind = "JOIN" if source.roots is not None and source.roots.candidates else "LEFT JOIN"
        text += f" {kind} {qualified(source.segmentation or '')} AS s{number} ON s{number}.id = t{number}.id"
        for place, point in _patched(plan, number):
            patch = f"p{number}_{place}"
            text += f" LEFT JOIN p{number} AS {patch} ON {patch}.supervoxel = s{number}.{quote(point.supervoxel)}"
    return text


def segmented(plan: QueryPlan, number: int) -> bool:
    """Whether a split table's looked-up ids are needed at all."""
    return plan.sources[number].segmentation is not None and any(c.is_segmentation for c in used(plan, number))


def used(plan: QueryPlan, number: int) -> tuple[Column, ...]:
    """The columns of a table that the statement mentions."""
    found = [output.column for output in plan.outputs if output.source == number and not plan.count]
    found += [p.column for p in plan.predicates if p.source == number]
    found += [order.column for order in plan.order if order.source == number]
    for link in plan.links:
        found += [column for at, column in _ends(link) if at == number]
    return tuple({column.name: column for column in found}.values())


def _ends(link: Link) -> tuple[tuple[int, Column], tuple[int, Column]]:
    return (link.left, link.left_column), (link.right, link.right_column)


def used_points(plan: QueryPlan, number: int) -> tuple[BoundPoint, ...]:
    """The bound points of a table whose root is mentioned."""
    names = {column.name for column in used(plan, number)}
    return tuple(point for point in plan.sources[number].schema.points if point.root in names)


def _patched(plan: QueryPlan, number: int) -> list[tuple[int, BoundPoint]]:
    roots = plan.sources[number].roots
    return list(enumerate(used_points(plan, number))) if roots is not None and len(roots.asked) else []


def name(plan: QueryPlan, number: int, column: Column) -> str:
    """A column as an expression."""
    source = plan.sources[number]
    if source.live and column.role is Role.VALID:
        # With its type: nothing can be sorted by a bare constant.
        return "true::boolean"
    beside = column.is_segmentation and source.split
    if beside and source.segmentation is None:
        # The table had no segmentation table yet, so its ids are unknown.
        return "NULL::bigint"
    text = f"{'s' if beside else 't'}{number}.{quote(column.name)}"
    if source.view is not None and column.type is SqlType.TEXT:
        # It may be of any type that has no other form here.
        return f"{text}::text"
    patch = patch_of(plan, number, column)
    return text if patch is None else f"(CASE WHEN {patch}.supervoxel IS NULL THEN {text} ELSE {patch}.root END)"


def patch_of(plan: QueryPlan, number: int, column: Column) -> str | None:
    """The relation that has the root of the moment where the live one is another; None for columns without one."""
    if column.role is not Role.ROOT:
        return None
    return next((f"p{number}_{n}" for n, point in _patched(plan, number) if point.root == column.name), None)


def base_conditions(plan: QueryPlan, as_of: datetime) -> Iterator[str]:
    """What holds of every row of the moment."""
    for number, source in enumerate(plan.sources):
        if source.split:
            yield visible(f"t{number}", literals.timestamp(as_of), has_valid=has_valid(source))
        elif has_valid(source):
            # True of every row that we froze; versions made by CAVE may hold others.
            yield f"t{number}.{quote('valid')}"
        if source.roots is not None and source.segmentation is not None:
            for column, roots in source.roots.candidates.items():
                # The index of the live roots finds the rows; the filter on the moment's root decides.
                yield f"s{number}.{quote(column)} = ANY ({literals.array(roots, 'bigint')})"
