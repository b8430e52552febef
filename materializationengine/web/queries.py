"""Queries of frozen versions: a body becomes a question, the question one statement, its answer a stream."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pyarrow as pa
from flask import Response, request

from ..domain.datastack import Datastack
from ..domain.names import segmentation_table
from ..domain.query import Question, join_question, simple_question
from ..domain.query_plan import OutputKind, QueryPlan, Source, resolve
from ..domain.schemas import schema
from ..storage import query_sql
from ..storage import version_registry as registry
from ..storage.frozen_counts import has_table, row_count
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import check_read, needs
from .encoders import arrow, rows
from .encoders.headers import cap, describe, warn
from .extensions import live_session
from .parts import parts
from .payloads import JoinBody, QueryOptions, SimpleBody
from .records import notices

blueprint = Blueprint("queries", __name__, url_prefix=MATERIALIZE, description="Queries of frozen versions")

_VERSION = "/datastack/<datastack>/version/<int(signed=True):version>"


@generations(blueprint, f"{_VERSION}/table/<table>/query", 2, 3, methods=["POST"])
@needs("view")
@blueprint.arguments(SimpleBody)
@blueprint.arguments(QueryOptions, location="query")
def query_table(body: dict[str, Any], options: dict[str, Any], datastack: str, version: int, table: str) -> Response:
    """Rows of one table."""
    question = simple_question(table, body, count=options["count"], sample=options["random_sample"])
    return _answer(question, options, datastack, version)


@generations(blueprint, f"{_VERSION}/query", 2, 3, methods=["POST"])
@needs("view")
@blueprint.arguments(JoinBody)
@blueprint.arguments(QueryOptions, location="query")
def query_join(body: dict[str, Any], options: dict[str, Any], datastack: str, version: int) -> Response:
    """Rows of several tables, joined."""
    question = join_question(body, count=options["count"], sample=options["random_sample"])
    return _answer(question, options, datastack, version)


def _answer(question: Question, options: dict[str, Any], datastack: str, number: int) -> Response:
    stack = parts().datastack(datastack)
    session = live_session(stack.aligned_volume)
    version = registry.readable_version(session, datastack, number)
    tables = registry.named_tables(session, stack, version, question.tables)
    for table in tables:
        check_read(table.annotation)
    plan = resolve(question, [_source(stack, version, table) for table in tables])
    if not options["return_pyarrow"]:
        plan = _exact(plan)
    percent = _percent(version, tables[0], plan)
    plan, capped = _capped(version, plan, percent)
    response = _stream(plan, _batches(version, plan, percent), options)
    warn(describe(response, plan), notices(tables))
    return cap(response, plan.limit or 0) if capped else response


def _source(stack: Datastack, version: registry.Version, table: registry.VersionTable) -> Source:
    kind = schema(table.schema)
    if version.is_merged:
        return Source(table.name, kind, table.resolution)
    beside = segmentation_table(table.name, stack.pcg_table) if kind.has_segmentation else None
    if beside is not None and not has_table(parts().pool, version, beside):
        beside = None
    return Source(table.name, kind, table.resolution, beside, split=True)


def _exact(plan: QueryPlan) -> QueryPlan:
    """JSON has doubles only, so there is nothing to gain by halving them."""
    outputs = (
        replace(output, kind=OutputKind.FLOAT64) if output.kind is OutputKind.FLOAT32 else output
        for output in plan.outputs
    )
    return replace(plan, outputs=tuple(outputs))


def _percent(version: registry.Version, table: registry.VersionTable, plan: QueryPlan) -> float | None:
    """The share of the first table to look at; None for the whole of it."""
    if plan.sample is None:
        return None
    known = row_count(parts().pool, version, table)
    return 100.0 * plan.sample / known if known and plan.sample < known else None


def _capped(version: registry.Version, plan: QueryPlan, percent: float | None) -> tuple[QueryPlan, bool]:
    """The plan under the service's own cap on rows, and whether that cap cuts the answer."""
    most = parts().settings.query_limit
    if not most or plan.count or (plan.limit is not None and plan.limit <= most):
        return plan, False
    more = parts().pool.value(version.database, query_sql.reaches(plan, version.time_stamp, most, percent=percent))
    return replace(plan, limit=most), bool(more)


def _batches(version: registry.Version, plan: QueryPlan, percent: float | None) -> Iterator[pa.RecordBatch]:
    """The answer's batches; the first is fetched now, while an error can still be told."""
    statement = query_sql.select(plan, version.time_stamp, percent=percent)
    batches = parts().pool.batches(version.database, statement, in_order=query_sql.single_scan(plan))
    return _resumed(next(batches, None), batches)


def _resumed(first: pa.RecordBatch | None, rest: Generator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All batches again; whoever stops half way, as a client that goes, ends the statement."""
    with closing(rest):
        if first is not None:
            yield first
            yield from rest


def _stream(plan: QueryPlan, batches: Iterator[pa.RecordBatch], options: dict[str, Any]) -> Response:
    wire = arrow.wire_schema(plan)
    if not options["return_pyarrow"]:
        return Response(rows.encode(wire.names, batches), content_type=rows.CONTENT_TYPE)
    codec = arrow.compression(request.headers.get("Accept-Encoding", "")) if options["ipc_compress"] else None
    response = Response(arrow.encode(wire, batches, codec), content_type=arrow.CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-cache"
    return response
