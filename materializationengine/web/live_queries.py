"""Queries of a moment: whatever was true then, whether or not a version was frozen of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from flask import Response

from ..domain.datastack import Datastack
from ..domain.errors import VersionNotAvailable
from ..domain.query import Question, live_question
from ..domain.query_plan import QueryPlan, resolve
from ..kernel import moments
from ..steps.live_query import LivePlan, MomentQuery, prepare
from ..storage import live_rows
from ..storage import version_registry as registry
from ..storage.live_tables import LiveTable, tables_at
from ..storage.read_pool import Reading
from .answers import Asked, answer, refuse_sampled_pages
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import check_read, needs
from .encoders.headers import warn
from .extensions import live_session
from .parts import parts
from .payloads import LiveBody, LiveOptions
from .queries import answer_version

blueprint = Blueprint("live_queries", __name__, url_prefix=MATERIALIZE, description="Queries of any moment")

MOMENT, CONSISTENCY = "X-Effective-Timestamp", "X-Consistency"
FINAL, PROVISIONAL = "final", "provisional"
"""A final answer stays what it is; in a provisional one rows or edits stamped so lately may still be missing."""


@generations(blueprint, "/datastack/<datastack>/query", 3, methods=["POST"])
@needs("view")
@blueprint.arguments(LiveBody)
@blueprint.arguments(LiveOptions, location="query")
def query_moment(body: dict[str, Any], options: dict[str, Any], datastack: str) -> Response:
    """Rows and roots of a moment."""
    stack = parts().datastack(datastack)
    question = live_question(body, count=options["count"], sample=options["random_sample"])
    refuse_sampled_pages(question)
    shown = public_version(stack, body["timestamp"])
    if shown is not None:
        return _told(answer_version(question, options, stack, shown), shown.time_stamp, FINAL)
    return _answer(question, options, stack, body["timestamp"])


def public_version(stack: Datastack, at: datetime) -> registry.Version | None:
    """What a virtual datastack shows of a moment: the newest of its versions until then, and nothing else.

    None for any other datastack. Raises VersionNotAvailable before the first one.
    """
    session = live_session(stack.aligned_volume)
    if not registry.is_virtual(session, stack.name):
        return None
    found = [each for each in registry.versions(session, stack.name) if each.time_stamp <= at]
    if not found:
        told = f"{stack.name!r} shows no version of {at.isoformat()} or before"
        raise VersionNotAvailable(told, field="timestamp")
    return max(found, key=lambda each: each.time_stamp)


def _answer(question: Question, options: dict[str, Any], stack: Datastack, at: datetime) -> Response:
    tables = tables_at(live_session(stack.aligned_volume), stack, question.tables, at)
    for table in tables:
        check_read(table.annotation)
    plan = resolve(question, [table.source(stack) for table in tables])
    found: list[LivePlan] = []
    consistency: list[str] = []

    def lay(reading: Reading, laid: QueryPlan) -> QueryPlan:
        consistency.append(_consistency(reading, at))
        found.append(prepare(moment_query(reading, stack, options, at), laid))
        return found[0].plan

    about = f"{stack.name} {at.isoformat()}"
    response = answer(Asked(question, plan, stack.aligned_volume, at, about, _percent(stack, plan)), options, lay)
    return _told(warn(response, [*found[0].warnings, *_notices(tables)]), at, consistency[0])


def moment_query(reading: Reading, stack: Datastack, options: Mapping[str, Any], at: datetime) -> MomentQuery:
    """What a question of a moment needs beside its plan."""
    known = parts()
    return MomentQuery(
        reading=reading,
        database=stack.aligned_volume,
        graph=lambda: known.services.graph(stack),
        look_ups=known.look_ups,
        at=at,
        margin=timedelta(seconds=known.settings.delta_margin),
        allow_gaps=options["allow_missing_lookups"],
        allow_invalid=options["allow_invalid_root_ids"],
    )


def _consistency(reading: Reading, at: datetime) -> str:
    """Asked within the snapshot, so that a writer who commits later is seen as open."""
    settled = at <= moments.now() - timedelta(seconds=parts().settings.as_of_margin)
    return FINAL if settled and not live_rows.open_writers(reading, at) else PROVISIONAL


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


def _told(response: Response, at: datetime, consistency: str) -> Response:
    response.headers[MOMENT] = moments.wire(at)
    response.headers[CONSISTENCY] = consistency
    return response
