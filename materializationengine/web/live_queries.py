"""Queries of a moment: whatever was true then, whether or not a version was frozen of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response

from ..domain.datastack import Datastack
from ..domain.errors import VersionNotAvailable
from ..domain.query import live_question
from ..storage import asked_tables
from ..storage import version_registry as registry
from ..storage.live_tables import tables_at
from .answers import refuse_sampled_pages
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import needs
from .extensions import live_session
from .moment_answers import FINAL, AsOf, answer_moment, tell
from .parts import parts
from .payloads import LiveBody, LiveOptions
from .queries import answer_version

blueprint = Blueprint("live_queries", __name__, url_prefix=MATERIALIZE, description="Queries of any moment")


@generations(blueprint, "/datastack/<datastack>/query", 3, methods=["POST"])
@needs("view")
@blueprint.arguments(LiveBody)
@blueprint.arguments(LiveOptions, location="query")
def query_moment(body: dict[str, Any], options: dict[str, Any], datastack: str) -> Response:
    """Rows and roots of a moment."""
    stack = parts().datastack(datastack)
    question = live_question(body, count=options["count"], sample=options["random_sample"])
    refuse_sampled_pages(question)
    at, volume = body["timestamp"], parts().live.meet(stack.aligned_volume)
    tables = asked_tables.of_moment(parts().services.cluster, stack, question.tables, at)
    shown = None if tables is not None else public_version(stack, at)
    if shown is not None:
        return tell(answer_version(question, options, stack, shown), shown.time_stamp, FINAL)
    tables = tables or tables_at(live_session(volume), stack, question.tables, at)
    wanted = AsOf(at, options["allow_missing_lookups"], options["allow_invalid_root_ids"])
    return answer_moment(question, options, stack, tables, wanted)


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
