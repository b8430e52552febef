"""Every action that a unit can name: its arguments, its deed, and the queue that carries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..domain.errors import NewerWork
from ..domain.plan import UnitSpec, from_json, to_ledger
from ..steps import (
    bad_roots,
    bulk_load,
    dummy,
    freeze,
    freeze_check,
    incremental,
    ingest,
    mend,
    missing_roots,
    retire,
    update_roots,
    views,
)
from ..steps.work import Report, Work


class UndeclaredSpawn(RuntimeError):
    """A deed added units that its action does not declare, so that neither plan nor manual knew of them."""


PROCESS = "process"
"""Queue of many small units: look-ups and loads."""

WORKFLOW = "workflow"
"""Queue of few long units: scans, copies, index builds, publishing."""


@dataclass(frozen=True, slots=True)
class Action:
    """One kind of unit, and the actions of the units that it may add to the next step."""

    arguments: type[Any]
    deed: Callable[[Work, Any], Report]
    queue: str
    spawns: tuple[str, ...] = ()


ACTIONS: dict[str, Action] = {
    "bulk_load.prepare": Action(bulk_load.Prepare, bulk_load.prepare, WORKFLOW),
    "bulk_load.load": Action(bulk_load.Load, bulk_load.load, PROCESS),
    "bulk_load.index": Action(bulk_load.Index, bulk_load.index, WORKFLOW),
    "bulk_load.publish": Action(bulk_load.Publish, bulk_load.publish, WORKFLOW),
    "ingest.scan": Action(ingest.Scan, ingest.scan, WORKFLOW, ("ingest.look_up",)),
    "ingest.look_up": Action(ingest.LookUp, ingest.look_up, PROCESS, ("ingest.index",)),
    "ingest.index": Action(ingest.Index, ingest.index, WORKFLOW),
    "ingest.prepare": Action(ingest.Prepare, ingest.prepare, PROCESS),
    "ingest.look_up_given": Action(ingest.LookUpGiven, ingest.look_up_given, PROCESS),
    "missing_roots.scan": Action(missing_roots.Scan, missing_roots.scan, WORKFLOW, ("missing_roots.fill",)),
    "missing_roots.fill": Action(missing_roots.Fill, missing_roots.fill, PROCESS),
    "bad_roots.remove": Action(bad_roots.Remove, bad_roots.remove, WORKFLOW),
    "update_roots.scan": Action(update_roots.Scan, update_roots.scan, WORKFLOW, ("update_roots.look_up",)),
    "update_roots.look_up": Action(update_roots.LookUp, update_roots.look_up, PROCESS),
    "update_roots.apply": Action(update_roots.Apply, update_roots.apply, WORKFLOW),
    "freeze.create": Action(freeze.Create, freeze.create, WORKFLOW),
    "freeze.copy": Action(freeze.Copy, freeze.copy, WORKFLOW, ("freeze.index", "freeze.verify")),
    "freeze.index": Action(freeze.Index, freeze.index, WORKFLOW),
    "freeze.verify": Action(freeze_check.Verify, freeze_check.verify, WORKFLOW),
    "views.build": Action(views.Build, views.build, WORKFLOW),
    "freeze.publish": Action(freeze.Publish, freeze.publish, WORKFLOW),
    "incremental.copy": Action(
        incremental.Copy, incremental.copy, WORKFLOW, ("freeze.index", "freeze.verify", "incremental.settle")
    ),
    "incremental.settle": Action(incremental.Settle, incremental.settle, WORKFLOW),
    "mend.swap_in": Action(mend.SwapIn, mend.swap_in, WORKFLOW),
    "retire.decide": Action(retire.Decide, retire.decide, WORKFLOW, ("retire.drop",)),
    "retire.drop": Action(retire.Drop, retire.drop, WORKFLOW),
    "retire.prune": Action(retire.Prune, retire.prune, WORKFLOW),
    "dummy.wait": Action(dummy.Wait, dummy.wait, PROCESS),
}


def perform(work: Work, spec: UnitSpec) -> Report:
    """Do what a unit says.

    Raises UndeclaredSpawn where its deed adds work that its action does not name, NewerWork for an unknown action.
    """
    action = ACTIONS.get(spec.action)
    if action is None:
        raise NewerWork(f"this release does not know {spec.action}")
    report = action.deed(work, from_json(spec.args, action.arguments))
    strange = {added.action for added in report.spawned} - set(action.spawns)
    if strange:
        raise UndeclaredSpawn(f"{spec.action} added units of {', '.join(sorted(strange))}")
    return report


def unit(action: str, arguments: object, label: str = "") -> UnitSpec:
    """A unit of a known action; its arguments must be of that action's kind."""
    if not isinstance(arguments, ACTIONS[action].arguments):
        raise TypeError(f"{action} takes {ACTIONS[action].arguments.__name__}, not {arguments!r}")
    return UnitSpec(action, to_ledger(arguments), label)
