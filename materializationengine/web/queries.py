"""Queries of frozen versions: a body becomes a question, the question one statement, its answer a stream."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from .. import __version__
from ..domain.datastack import Datastack
from ..domain.names import segmentation_table
from ..domain.query import Question, join_question, simple_question
from ..domain.query_plan import QueryPlan, Source, resolve
from ..domain.schemas import schema
from ..storage import version_registry as registry
from ..storage.frozen_counts import has_table, row_count
from .answers import Asked, answer, refuse_sampled_pages, tag
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import check_read, needs
from .encoders.headers import warn
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
    return answer_version(question, options, stack, version)


def answer_version(
    question: Question, options: dict[str, Any], stack: Datastack, version: registry.Version
) -> Response:
    """Rows of a version that can be read, as far as the caller may read them."""
    session = live_session(stack.aligned_volume)
    tables = registry.named_tables(session, stack, version, question.tables)
    for table in tables:
        check_read(table.annotation)
    refuse_sampled_pages(question)
    plan = resolve(question, [source_of(stack, version, table) for table in tables])
    percent = _percent(version, tables[0], plan)
    told = notices(tables)
    mark = tag(question, options, version, told, parts().settings.query_limit, __version__)
    if percent is None and request.if_none_match.contains(mark):
        return tagged(Response(status=304), mark)
    about = f"{version.database} {version.id}"
    response = answer(Asked(question, plan, version.database, version.time_stamp, about, percent), options)
    warn(response, told)
    return response if percent is not None else tagged(response, mark)


def tagged(response: Response, mark: str) -> Response:
    """A version never changes, so whoever has an answer may keep it."""
    response.set_etag(mark)
    response.headers["Cache-Control"] = "private, max-age=86400, immutable"
    return response


def source_of(stack: Datastack, version: registry.Version, table: registry.VersionTable) -> Source:
    """A table of a version as a query sees it."""
    kind = schema(table.schema)
    if version.is_merged:
        return Source(table.name, kind, table.resolution)
    beside = segmentation_table(table.name, stack.pcg_table) if kind.has_segmentation else None
    if beside is not None and not has_table(parts().pool, version, beside):
        beside = None
    return Source(table.name, kind, table.resolution, beside, split=True)


def _percent(version: registry.Version, table: registry.VersionTable, plan: QueryPlan) -> float | None:
    """The share of the first table to look at; None for the whole of it."""
    if plan.sample is None:
        return None
    known = row_count(parts().pool, version, table)
    return 100.0 * plan.sample / known if known and plan.sample < known else None
