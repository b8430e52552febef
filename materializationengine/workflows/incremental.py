"""Incremental materialization: a new version from a base version, at the cost of what changed in between.

make the build -> merge the change into the base's tables -> index and verify side by side -> publish
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.errors import BadMoment, BadRequest
from ..domain.plan import FreezePlan, IncrementalPlan, Plan, RunKind, StepPlan
from ..kernel.columns import Connection
from ..steps import incremental, mend
from ..storage import annotation_tables, cell_segments, incremental_base, version_revisions
from . import create_frozen_database
from .actions import unit
from .requests import RunRequest
from .tasks import launch_json

ALL_PHASES = (1, 2, 3, 4)
MENDING_PHASES = (3, 4)
MOST_THREADS = 32
"""Each thread holds up to three connections of the database server."""


def steps() -> tuple[StepPlan, ...]:
    """The steps of a freeze, with another way to make the tables."""
    create, _, *rest = create_frozen_database.steps()
    return (create, StepPlan("merge", (unit("incremental.copy", incremental.Copy()),)), *rest)


def plan(
    connection: Connection,
    datastack: Datastack,
    request: RunRequest,
    as_of: datetime,
    now: datetime,
    days: int,
    threads: int,
) -> Plan:
    """A version of `as_of` from the version that the request names.

    Raises BadRequest, UnknownVersion, VersionNotAvailable, BadMoment.
    """
    if request.mends is not None:
        return mending_plan(connection, datastack, request, request.mends, threads)
    base = base_plan(connection, datastack, request, as_of, threads)
    version = create_frozen_database.freeze_plan(connection, datastack, request, as_of, now, days)
    version = _of_phases(connection, datastack, version, base)
    return Plan(RunKind.INCREMENTAL, steps(), as_of, datastack, version.tables, freeze=version, incremental=base)


def mending_plan(connection: Connection, datastack: Datastack, request: RunRequest, mends: int, threads: int) -> Plan:
    """Mend a published version: phase 3 adds tables that it lacks, phase 4 repairs those that it has.

    Raises what `plan` raises.
    """
    found = version_revisions.published(connection, datastack, mends)
    if request.as_of is not None and request.as_of != found.moment:
        raise BadMoment(
            f"version {mends} is of {found.moment.isoformat()}, not of {request.as_of.isoformat()}; leave the "
            f"moment out",
            field="timestamp",
        )
    phases = tuple(sorted(set(request.phases or MENDING_PHASES)))
    if not set(phases) <= set(MENDING_PHASES):
        raise BadRequest("phases: of a mended version only 3 (new tables) and 4 (repair)", field="phases")
    base = replace(base_plan(connection, datastack, replace(request, phases=None), found.moment, threads), mends=mends)
    base = replace(base, phases=phases)
    known = incremental_base.table_names(connection, datastack, mends)
    there = annotation_tables.table_plans(connection, datastack, found.moment)
    tables = tuple(
        t for t in there if (incremental.EXPIRED_ROOTS if t.name in known else incremental.NEW_TABLES) in phases
    )
    version = FreezePlan(tables, None, found.split)
    swap = StepPlan("swap", (unit("mend.swap_in", mend.SwapIn()),))
    ordered = (*steps()[:-1], swap)
    return Plan(RunKind.INCREMENTAL, ordered, found.moment, datastack, tables, freeze=version, incremental=base)


def base_plan(
    connection: Connection, datastack: Datastack, request: RunRequest, as_of: datetime, threads: int
) -> IncrementalPlan:
    """The base of a request, checked."""
    if request.base_version is None:
        raise BadRequest("an incremental run needs the number of its base version", field="base_version")
    database, moment = incremental_base.base_version(connection, datastack, request.base_version, as_of)
    phases = tuple(sorted(set(request.phases or ALL_PHASES)))
    if not {1, 4} <= set(phases) <= set(ALL_PHASES):
        raise BadRequest(
            f"phases {', '.join(map(str, phases))}: choose from 1, 2, 3 and 4; without 1 there is no base, and "
            f"without 4 roots would not be those of the version's moment",
            field="phases",
        )
    number, source = phase_threads(request, threads), request.annotation_source
    return IncrementalPlan(request.base_version, moment, database, phases, number, source=source)


def phase_threads(request: RunRequest, threads: int) -> tuple[int, ...]:
    """One number of threads for each phase. Raises BadRequest."""
    asked = tuple(request.threads or (threads,) * len(ALL_PHASES))
    if len(asked) != len(ALL_PHASES) or not all(number >= 1 for number in asked):
        raise BadRequest("threads: four numbers, one for each phase, from 1 up", field="threads")
    return tuple(min(number, MOST_THREADS) for number in asked)


def _of_phases(connection: Connection, datastack: Datastack, version: FreezePlan, base: IncrementalPlan) -> FreezePlan:
    """Without phase 3 only the base's tables; a table of the name that phase 2 needs is refused."""
    if incremental.NEW_SEGMENTS in base.phases and any(t.name == cell_segments.TABLE for t in version.tables):
        raise BadRequest(
            f"there is an annotation table {cell_segments.TABLE!r}; leave out phase 2, which needs that name",
            field="phases",
        )
    if incremental.NEW_TABLES in base.phases:
        return version
    known = incremental_base.table_names(connection, datastack, base.base)
    return replace(version, tables=tuple(table for table in version.tables if table.name in known))


@shared_task(name="workflow:incremental_materialization", bind=True)
def incremental_materialization(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start an incremental run; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.INCREMENTAL, request)
