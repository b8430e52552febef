"""CAVE's triggers of one datastack as a table: they differ in what they start and whom they let in, and in no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response
from marshmallow import Schema

from ..domain.plan import RunKind
from ..storage import annotation_catalog as catalog
from ..workflows.requests import RunRequest
from .arguments import Blueprint
from .auth import check_write, needs, needs_admin, user
from .extensions import live_session
from .parts import parts
from .run_payloads import BadRootsTrigger, IdsTrigger, TriggerOptions
from .runs import started

Started = tuple[Response, int]
_edit = needs("edit")


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger. Where its path names a table, the caller must be one who may write to that table."""

    name: str
    path: str
    kind: RunKind
    does: str
    guard: Callable[[Callable[..., Any]], Callable[..., Any]] = needs_admin
    body: type[Schema] = TriggerOptions


TRIGGERS = (
    Trigger(
        "ingest_all",
        "ingest_annotations/datastack/<datastack>",
        RunKind.INGEST,
        "Look up the supervoxels and roots of new annotations in every table.",
    ),
    Trigger(
        "ingest_table",
        "ingest_annotations/datastack/<datastack>/<table>",
        RunKind.INGEST,
        "Look up the supervoxels and roots of new annotations in one table.",
        _edit,
    ),
    Trigger(
        "update_roots",
        "update_roots/datastack/<datastack>",
        RunKind.UPDATE_ROOTS,
        "Bring the roots of every table to one moment.",
    ),
    Trigger("create_frozen", "create_frozen/datastack/<datastack>", RunKind.FREEZE, "Freeze a version."),
    Trigger(
        "complete_workflow",
        "complete_workflow/datastack/<datastack>",
        RunKind.COMPLETE,
        "Ingest, update roots, and freeze a version.",
    ),
    Trigger(
        "lookup_svid",
        "lookup_svid/datastack/<datastack>/<table>",
        RunKind.LOOKUP_SVID,
        "Look up the supervoxels of new annotations, of the given ones or of all.",
        _edit,
        IdsTrigger,
    ),
    Trigger(
        "lookup_root_ids",
        "lookup_root_ids/datastack/<datastack>",
        RunKind.DENSE_MISSING_ROOTS,
        "Look up the missing roots of every table, most rows of which lack one.",
    ),
    Trigger(
        "sparse_lookup_root_ids",
        "sparse_lookup_root_ids/datastack/<datastack>/table/<table>",
        RunKind.SPARSE_MISSING_ROOTS,
        "Look up the missing roots of one table, few rows of which lack one.",
    ),
    Trigger(
        "remove_bad_root_ids",
        "remove_bad_root_ids/datastack/<datastack>/table/<table>",
        RunKind.REMOVE_BAD_ROOTS,
        "Take the given roots away from one table.",
        body=BadRootsTrigger,
    ),
    Trigger(
        "update_database",
        "update_database/datastack/<datastack>",
        RunKind.UPDATE_DATABASE,
        "Ingest new annotations, and bring the roots of every table to one moment.",
    ),
    Trigger(
        "incremental",
        "incremental/datastack/<datastack>/version/<int(max=2147483647):base_version>",
        RunKind.INCREMENTAL,
        "Make a version from a base version and what changed since.",
    ),
)


def install(blueprint: Blueprint, prefix: str) -> None:
    """Give each trigger its rule under `prefix`."""
    for trigger in TRIGGERS:
        view = trigger.guard(_view(blueprint, trigger))
        blueprint.route(f"{prefix}/{trigger.path}", methods=["POST"], endpoint=trigger.name)(view)


def _view(blueprint: Blueprint, trigger: Trigger) -> Callable[..., Any]:
    def view(options: dict[str, Any], body: dict[str, Any], datastack: str, **path: Any) -> Started:
        if "table" in path:
            check_write(catalog.find(live_session(parts().datastack(datastack).aligned_volume), path["table"]))
        return started(_request(trigger.kind, datastack, options | body, path))

    view.__name__, view.__doc__ = trigger.name, trigger.does
    taking = blueprint.arguments(trigger.body)(view)
    return blueprint.arguments(TriggerOptions, location="query")(taking)


def _request(kind: RunKind, datastack: str, options: dict[str, Any], path: dict[str, Any]) -> RunRequest:
    return RunRequest(
        kind,
        datastack,
        as_of=options.get("timestamp"),
        table=path.get("table"),
        expires_in_days=options.get("days_to_expire"),
        split=options.get("merge_tables") is False,
        everything=bool(options.get("lookup_all_root_ids")),
        annotation_ids=options.get("annotation_ids"),
        bad_roots=tuple(options.get("bad_roots") or ()),
        requested_by=str(user().id),
        base_version=path.get("base_version"),
    )
