"""Diagrams of the workflows, from the plans that the workflows themselves make for a datastack on paper.

`draw_all()` gives file name and SVG. `scripts/refresh_docs.py` writes them; no database is needed.
"""

from __future__ import annotations

from collections.abc import Iterator

from paper import plans
from svg import Band, Card, draw

from materializationengine.domain.plan import Plan, RunKind, StepPlan
from materializationengine.workflows.actions import ACTIONS

MEND = "mend"
"""An incremental run that mends a version is a picture of its own."""

FILES: dict[str, tuple[str, str]] = {
    "bulk_upload_workflow.svg": ("Bulk upload", RunKind.BULK_UPLOAD),
    "new_annotations_workflow.svg": ("Ingest new annotations", RunKind.INGEST),
    "update_root_id_workflow.svg": ("Update root ids", RunKind.UPDATE_ROOTS),
    "materialize_workflow.svg": ("Create frozen database", RunKind.FREEZE),
    "linked_workflows.svg": ("Complete workflow", RunKind.COMPLETE),
    "incremental_workflow.svg": ("Incremental materialization", RunKind.INCREMENTAL),
    "mend_workflow.svg": ("Mending a version", MEND),
    "database_removal_workflow.svg": ("Periodic database removal", RunKind.RETIRE),
    "dummy_workflow.svg": ("Dummy workflow", RunKind.DUMMY),
    "update_database_workflow.svg": ("Update database", RunKind.UPDATE_DATABASE),
    "lookup_svid_workflow.svg": ("Look up supervoxels", RunKind.LOOKUP_SVID),
    "sparse_missing_roots_workflow.svg": ("Sparse missing root ids", RunKind.SPARSE_MISSING_ROOTS),
    "dense_missing_roots_workflow.svg": ("Dense missing root ids", RunKind.DENSE_MISSING_ROOTS),
    "remove_bad_roots_workflow.svg": ("Remove bad root ids", RunKind.REMOVE_BAD_ROOTS),
}
"""File name of each picture, its title and the run it shows; the first five names are those of CAVE's manual."""


JOINED = {RunKind.COMPLETE, RunKind.UPDATE_DATABASE, RunKind.LOOKUP_SVID}
"""Runs made of steps that belong to other workflows, whose titles they show."""


def draw_all() -> dict[str, str]:
    """File name and SVG of each diagram."""
    known: dict[str, Plan] = {MEND if plan.mends is not None else plan.kind: plan for plan in plans()}
    groups = {
        prefix: title
        for title, kind in reversed(FILES.values())  # a deed belongs to the first workflow that has it
        if kind not in JOINED
        for prefix in _prefixes(known[kind])
    }
    return {name: draw(title, list(_bands(known[kind], groups))) for name, (title, kind) in FILES.items()}


def _prefixes(plan: Plan) -> set[str]:
    return {unit.action.partition(".")[0] for step in plan.steps for unit in step.units}


def _bands(plan: Plan, groups: dict[str, str]) -> Iterator[Band]:
    joined = len(_prefixes(plan)) > 1
    before: tuple[Card, ...] = ()
    for step in plan.steps:
        cards = (*_planned(step), *_added(before))
        prefix = cards[0].action.partition(".")[0]
        yield Band(step.name, cards, groups[prefix] if joined else "")
        before = cards


def _planned(step: StepPlan) -> Iterator[Card]:
    for action in dict.fromkeys(unit.action for unit in step.units):
        labels = [unit.label for unit in step.units if unit.action == action and unit.label]
        shown = ", ".join(labels[:3]) + (", ..." if len(labels) > 3 else "")
        yield _card(action, f"for example: {shown}" if shown else "", many=len(labels) > 1)


def _added(before: tuple[Card, ...]) -> Iterator[Card]:
    for card in before:
        for action in ACTIONS[card.action].spawns:
            yield _card(action, "", many=True, by=card.action)


def _card(action: str, labels: str, *, many: bool, by: str | None = None) -> Card:
    known = ACTIONS[action]
    sentence = (known.deed.__doc__ or "").strip().partition("\n")[0]
    text = sentence.partition(" Raises ")[0].replace("`", "")
    return Card(action, text, known.queue, labels, many, by)
