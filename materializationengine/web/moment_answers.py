"""Answers of a moment out of live tables, whichever door the question came through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Response

from ..domain.datastack import Datastack
from ..domain.query import Question
from ..domain.query_plan import QueryPlan, resolve
from ..kernel import moments
from ..steps.live_query import LivePlan, MomentQuery, prepare
from ..storage import live_rows
from ..storage.live_tables import LiveTable
from ..storage.read_pool import Reading
from .answers import Asked, answer
from .auth import check_read
from .encoders.headers import warn
from .parts import parts

MOMENT, CONSISTENCY = "X-Effective-Timestamp", "X-Consistency"
FINAL, PROVISIONAL = "final", "provisional"
"""A final answer stays what it is; in a provisional one rows or edits stamped so lately may still be missing."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """A moment, and whether rows without look-ups and filters by ids that are no roots at it are let through."""

    at: datetime
    allow_gaps: bool = False
    allow_invalid: bool = False


def answer_moment(
    question: Question, options: dict[str, Any], stack: Datastack, tables: list[LiveTable], wanted: AsOf
) -> Response:
    """Rows and roots of a moment, as far as the caller may read them."""
    at = wanted.at
    for table in tables:
        check_read(table.annotation)
    plan = resolve(question, [table.source(stack) for table in tables])
    found: list[LivePlan] = []

    def lay(reading: Reading, laid: QueryPlan) -> QueryPlan:
        found.append(prepare(moment_query(reading, stack, wanted), laid))
        return found[0].plan

    about = f"{stack.name} {at.isoformat()}"
    response = answer(Asked(question, plan, stack.aligned_volume, at, about, _percent(stack, plan)), options, lay)
    return tell(warn(response, [*found[0].warnings, *_notices(tables)]), at, _consistency(found[0], at))


def moment_query(reading: Reading, stack: Datastack, wanted: AsOf) -> MomentQuery:
    """What a question of a moment needs beside its plan."""
    known = parts()
    return MomentQuery(
        reading=reading,
        database=stack.aligned_volume,
        pcg_table=stack.pcg_table,
        graph=lambda: known.services.graph(stack),
        look_ups=known.look_ups,
        at=wanted.at,
        margin=timedelta(seconds=known.settings.delta_margin),
        lateness=timedelta(seconds=known.settings.as_of_margin),
        allow_gaps=wanted.allow_gaps,
        allow_invalid=wanted.allow_invalid,
    )


def _consistency(plan: LivePlan, at: datetime) -> str:
    """Writers were looked for within the snapshot, so that one who commits later was seen as open."""
    settled = at <= moments.now() - timedelta(seconds=parts().settings.as_of_margin)
    return FINAL if settled and not plan.open_writers else PROVISIONAL


def _percent(stack: Datastack, plan: QueryPlan) -> float | None:
    """The share of the first table to look at; None for the whole of it."""
    if plan.sample is None:
        return None
    held = live_rows.size(parts().pool, stack.aligned_volume, plan.sources[0].name)
    return 100.0 * plan.sample / held if plan.sample < held else None


def _notices(tables: list[LiveTable]) -> list[str]:
    return [
        f"Table Owner Notice on {table.annotation.table_name}: {' '.join(table.annotation.notice_text.split())}"
        for table in tables
        if table.annotation.notice_text
    ]


def tell(response: Response, at: datetime, consistency: str) -> Response:
    """Say of which moment an answer is, and whether it will stay what it is."""
    response.headers[MOMENT] = moments.wire(at)
    response.headers[CONSISTENCY] = consistency
    return response
