"""Queries of frozen versions: a body becomes a question, the question one statement, its answer a stream."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from .. import __version__
from ..domain.datastack import Datastack
from ..domain.errors import MaterializationError, VersionNotAvailable
from ..domain.names import segmentation_table
from ..domain.query import Question, join_question, simple_question
from ..domain.query_plan import QueryPlan, Source, resolve
from ..domain.schemas import schema
from ..storage import asked_tables, live_rows
from ..storage import version_registry as registry
from ..storage.frozen_counts import has_table, row_count
from ..storage.live_tables import tables_at
from .answers import Asked, answer, refuse_sampled_pages, tag
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import check_read, needs
from .encoders.headers import ANSWERED_FROM, warn
from .extensions import live_session
from .moment_answers import AsOf, answer_moment
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
    volume = parts().live.meet(stack.aligned_volume)
    found = asked_tables.of_version(parts().services.cluster, stack, number, question.tables)
    if found is not None:
        return _answer_tables(question, options, stack, found)
    version = registry.version(live_session(volume), datastack, number)
    if version.has_expired:
        return _answer_expired(question, options, stack, version)
    raise _missing(question, stack, number)


def _missing(question: Question, stack: Datastack, number: int) -> MaterializationError:
    """Raises what is wrong with the version or its tables; returned is what is left: it ended this very moment."""
    session = live_session(stack.aligned_volume)
    registry.named_tables(session, stack, registry.readable_version(session, stack.name, number), question.tables)
    return VersionNotAvailable(f"version {number} of {stack.name!r} has just ended", field="version")


def answer_version(
    question: Question, options: dict[str, Any], stack: Datastack, version: registry.Version
) -> Response:
    """Rows of a version, as far as the caller may read them. Raises VersionNotAvailable, UnknownTable."""
    found = asked_tables.of_version(parts().services.cluster, stack, version.version, question.tables)
    if found is None:
        raise _missing(question, stack, version.version)
    return _answer_tables(question, options, stack, found)


def _answer_expired(
    question: Question, options: dict[str, Any], stack: Datastack, version: registry.Version
) -> Response:
    """Rows of a version whose database is gone: out of the live tables, with the roots of the version's moment.

    As in the version, an id that is no root finds no row, and rows without look-ups have no ids.
    """
    session, at = live_session(stack.aligned_volume), version.time_stamp
    registry.named_tables(session, stack, version, question.tables)
    refuse_sampled_pages(question)
    tables = tables_at(session, stack, question.tables, at)
    if not live_rows.are_there(parts().pool, stack.aligned_volume, question.tables):
        gone = f"version {version.version} of {stack.name!r} has expired, and its live tables are gone"
        raise VersionNotAvailable(gone, field="version")
    told = f"version {version.version} has expired; this is answered from live rows and root history, ordered by id"
    response = answer_moment(question, options, stack, tables, AsOf(at, allow_gaps=True, allow_invalid=True))
    response.headers[ANSWERED_FROM] = "live"
    return warn(response, [told])


def _answer_tables(
    question: Question, options: dict[str, Any], stack: Datastack, found: asked_tables.Found
) -> Response:
    version, tables = found.version, found.tables
    for table in tables:
        check_read(table.annotation)
    refuse_sampled_pages(question)
    plan = resolve(question, [source_of(stack, version, table) for table in tables])
    percent = _percent(version, tables[0], plan)
    told = notices(tables)
    mark = tag(question, options, found.contents, told, parts().settings.query_limit, __version__)
    if percent is None and request.if_none_match.contains(mark):
        return tagged(Response(status=304), mark)
    # A cursor names places of rows, and a mend lays them down anew.
    about = f"{version.database} {found.contents}"
    response = answer(Asked(question, plan, version.database, version.time_stamp, about, percent), options)
    warn(response, told)
    return response if percent is not None else tagged(response, mark)


def tagged(response: Response, mark: str) -> Response:
    """A version changes only where it is mended, and then the tag does: whoever has an answer may keep it."""
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
