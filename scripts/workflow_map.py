"""The map of all workflows, read off the code: module, task, queue, command, REST path, schedule, page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from flask import Flask

from materializationengine.cli.run import run as run_command
from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind
from materializationengine.web.app import create_app
from materializationengine.workflows.beat import TASKS, SlotSchedule
from materializationengine.workflows.celery_app import EngineCelery, create_celery, route
from materializationengine.workflows.firing import KINDS
from materializationengine.workflows.schedules import read_schedules

ROOT = Path(__file__).parents[1]
EXAMPLE = "workflows/schedules.json"
PAGE = "docs/workflows/workflows.rst"
RUNS = "POST /materialize/api/v3/runs"
_SECTION = re.compile(r"^(?P<heading>.+)\n[-=~]{3,}\n(?P<body>(?:(?!^.+\n[-=~]{3,}$).*\n)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow and every door that starts it."""

    module: str
    kind: RunKind
    task: str
    queue: str
    command: str
    routes: tuple[str, ...]
    schedules: tuple[str, ...]
    heading: str

    @property
    def page(self) -> str:
        """Its section of the manual, relative to the root of the project."""
        return f"{PAGE}#{self.heading.lower().replace(' ', '-')}"


def workflows() -> list[Workflow]:
    """Every task of the workflow floor that starts a run, in the order of the kinds of run."""
    celery, app = create_celery(Settings()), create_app(Settings())
    found = [
        Workflow(
            module=task.__module__,
            kind=kind,
            task=name,
            queue=route(name)["queue"],
            command=_command(kind),
            routes=tuple(_routes(app, kind)),
            schedules=tuple(_schedules(kind)),
            heading=_heading(kind),
        )
        for name, task in engine_tasks(celery).items()
        for kind in kinds_in(task.run)
    ]
    order = list(RunKind)
    return sorted(found, key=lambda workflow: order.index(workflow.kind))


def engine_tasks(celery: EngineCelery) -> dict[str, Any]:
    """The engine's own tasks by name; Celery's built-in ones are left out."""
    celery.finalize()
    return {name: task for name, task in sorted(celery.tasks.items()) if not name.startswith("celery.")}


def kinds_in(function: Callable[..., Any]) -> list[RunKind]:
    """The kinds of run that a task, command or view names in its body."""
    code = inspect.unwrap(function).__code__
    return [RunKind[name] for name in code.co_names if "RunKind" in code.co_names and name in RunKind.__members__]


def _command(kind: RunKind) -> str:
    context = click.Context(run_command)
    for name in run_command.list_commands(context):
        command = run_command.get_command(context, name)
        if command is not None and command.callback is not None and kind in kinds_in(command.callback):
            return f"matengine run {name}"
    raise LookupError(f"no command starts a run of {kind}")


def _routes(app: Flask, kind: RunKind) -> Iterator[str]:
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("materialize.") and kind in kinds_in(app.view_functions[rule.endpoint]):
            yield f"POST {rule.rule}"
    yield f"{RUNS} kind={kind}"


def _schedules(kind: RunKind) -> Iterator[str]:
    """The example schedules that start runs of a kind."""
    for each in read_schedules(str(ROOT / EXAMPLE)):
        if KINDS[each.deed] is kind:
            yield f"{each.name}: {SlotSchedule(each.cron)!r}"


def _heading(kind: RunKind) -> str:
    """The heading of the manual under which the facts of this kind stand."""
    for section in _SECTION.finditer((ROOT / PAGE).read_text(encoding="utf-8")):
        if f".. begin start {kind}\n" in section["body"]:
            return section["heading"]
    raise LookupError(f"{PAGE}: no section holds the facts of {kind}; add `.. begin start {kind}` and `.. end`")


def map_table() -> str:
    """The map as a Markdown table; links start at the folder `workflows/`."""
    rows = ["| workflow | module | task | queue | command | REST | schedule |", "|---|---|---|---|---|---|---|"]
    for each in workflows():
        cells = (
            f"[{each.heading}](../{each.page})",
            f"[`{each.module}`](../{each.module.replace('.', '/')}.py)",
            f"`{each.task}`",
            f"`{each.queue}`",
            f"`{each.command}`",
            "<br>".join(f"`{route}`" for route in each.routes),
            "<br>".join(f"`{schedule}`" for schedule in each.schedules) or "on request",
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def unit_table() -> str:
    """The tasks that do one unit of the ledger each, as a Markdown table."""
    celery = create_celery(Settings())
    rows = ["| task | queue | what it does |", "|---|---|---|"]
    for name, task in engine_tasks(celery).items():
        if name.endswith(":run_unit"):
            rows.append(f"| `{name}` | `{route(name)['queue']}` | {inspect.cleandoc(task.run.__doc__ or '')} |")
    return "\n".join(rows)


def beat_table() -> str:
    """The tasks that beat sends, as a Markdown table."""
    rows = ["| task | word in a schedule | starts | what it does |", "|---|---|---|---|"]
    celery = create_celery(Settings())
    words = {task: (f"`{deed}`", f"`{KINDS[deed]}`") for deed, task in TASKS.items()}
    for name, task in engine_tasks(celery).items():
        if not kinds_in(task.run) and not name.endswith(":run_unit"):
            word, kind = words.get(name, ("", ""))
            rows.append(f"| `{name}` | {word} | {kind} | {inspect.cleandoc(task.run.__doc__ or '')} |")
    return "\n".join(rows)


def start_facts(kind: str) -> str:
    """How one workflow is started, as a reStructuredText field list."""
    each = next(workflow for workflow in workflows() if workflow.kind == kind)
    fields = [
        f":Module: :mod:`{each.module}`",
        f":Task: ``{each.task}`` on queue ``{each.queue}``",
        f":Command: ``{each.command}``",
        f":REST: {', '.join(f'``{route}``' for route in each.routes)}",
        f":Schedule: {', '.join(each.schedules) or 'on request'}",
    ]
    return "\n".join(fields)
