"""Properties of segments for Neuroglancer: of a table of a version, of the live table, of a view."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flask import Response, jsonify

from ..domain.datastack import Datastack
from ..domain.errors import BadRequest
from ..domain.query import Question
from ..domain.query_plan import QueryPlan, resolve
from ..domain.segment_properties import MOST, Labels, Row, properties, segment_column
from ..kernel import moments
from ..steps.live_query import prepare
from ..storage import query_sql
from ..storage.live_tables import LiveTable, tables_at
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import check_read, needs, user
from .encoders.headers import warn
from .extensions import live_session
from .live_queries import public_version
from .moment_answers import AsOf, moment_query
from .parts import parts
from .payloads import LabelOptions
from .precomputed import drawing, joined, kept, refers
from .views import place_of_views

blueprint = Blueprint(
    "segment_properties", __name__, url_prefix=MATERIALIZE, description="Properties of segments for Neuroglancer"
)

_STACK = "/datastack/<datastack>"
_VERSION = f"{_STACK}/version/<int(signed=True):version>"
_NANOMETERS = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What rows are read from; `live` are the datastack's tables where the plan is of the live database."""

    plan: QueryPlan
    database: str
    moment: datetime
    live: Datastack | None = None


@generations(blueprint, f"{_VERSION}/table/<table>/info", 3)
@needs("view")
@blueprint.arguments(LabelOptions, location="query")
def get_table_properties(options: dict[str, Any], datastack: str, version: int, table: str) -> Response:
    """Properties of the segments of a table of a version."""
    drawn = drawing(datastack, version, table, _NANOMETERS)
    response = _answer(_Asked(drawn.plan, drawn.version.database, drawn.version.time_stamp), options, "id")
    return kept(response, drawn, version, options)


@generations(blueprint, f"{_STACK}/table/<table>/info", 3)
@needs("view")
@blueprint.arguments(LabelOptions, location="query")
def get_live_properties(options: dict[str, Any], datastack: str, table: str) -> Response:
    """Properties of the segments of a table as it is now."""
    stack, now = parts().datastack(datastack), moments.now()
    shown = public_version(stack, now)
    if shown is not None:
        plan = drawing(datastack, shown.version, table, _NANOMETERS).plan
        return _answer(_Asked(plan, shown.database, shown.time_stamp), options, "id")
    return _answer(_Asked(_live_plan(stack, table, now), stack.aligned_volume, now, stack), options, "id")


@generations(blueprint, f"{_VERSION}/view/<view>/info", 3)
@needs("view")
@blueprint.arguments(LabelOptions, location="query")
def get_view_properties(options: dict[str, Any], datastack: str, version: int, view: str) -> Response:
    """Properties of the segments of a view; version -1 is the newest, 0 the live database."""
    place = place_of_views(datastack, version)
    source = place.view(view)[1]
    plan = resolve(Question((view,), resolution=_NANOMETERS), [source])
    return _answer(_Asked(plan, place.database, place.moment), options, plan.outputs[0].name)


def _live_plan(stack: Datastack, table: str, now: datetime) -> QueryPlan:
    session = live_session(stack.aligned_volume)
    tables = tables_at(session, stack, (table,), now)
    target = refers(tables[0].annotation)
    question = Question((table,), resolution=_NANOMETERS)
    if target is not None:
        tables = tables_at(session, stack, (table, target), now)
        question = replace(joined(tables[0].annotation, target), resolution=_NANOMETERS)
    _check_all(tables)
    return resolve(question, [each.source(stack) for each in tables])


def _check_all(tables: list[LiveTable]) -> None:
    for table in tables:
        check_read(table.annotation)


def _answer(asked: _Asked, options: dict[str, Any], usual: str) -> Response:
    columns = [output.name for output in asked.plan.outputs]
    wanted = tuple(name.strip() for name in (options["label_columns"] or usual).split(","))
    labels = Labels(options["label_format"] or "", wanted).checked(columns)
    rows = _rows(asked)
    ours, twins = _distinct(segment_column(asked.plan).name, rows)
    told = f"{twins} rows are of a segment that another row describes, and left out" if twins else ""
    return warn(jsonify(properties(asked.plan, ours, labels)), [told] if told else [])


def _rows(asked: _Asked) -> list[Row]:
    """Every row. Raises BadRequest where there are more than a browser holds."""
    plan = replace(asked.plan, limit=MOST + 1)
    with closing(parts().slots.take(user().id)), parts().pool.reading(asked.database) as reading:
        if asked.live is not None:
            # Rows without a root are left out anyway.
            wanted = AsOf(asked.moment, allow_gaps=True, allow_invalid=True)
            plan = prepare(moment_query(reading, asked.live, wanted), plan).plan
        rows: list[Row] = reading.table(query_sql.select(plan, asked.moment)).to_pylist()
    if len(rows) > MOST:
        told = f"{plan.sources[0].name} has more than {MOST:,} rows; a browser holds no more properties"
        raise BadRequest(told, field="table_name")
    return rows


def _distinct(segment: str, rows: list[Row]) -> tuple[list[Row], int]:
    """One row for each segment, the one that came first, by segment; and how many others there are."""
    there = [row for row in rows if row[segment]]
    ordered = sorted(there, key=lambda row: (row[segment], row.get("id") or 0))
    found = {row[segment]: row for row in reversed(ordered)}
    return list(reversed(found.values())), len(there) - len(found)
