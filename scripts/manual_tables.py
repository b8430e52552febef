"""Tables of the manual that are read off the code: settings, routes, errors, commands, folders."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click

from materializationengine.cli import main
from materializationengine.config import Settings
from materializationengine.config_cave import WITHOUT_EFFECT
from materializationengine.domain import errors
from materializationengine.web.app import create_app
from materializationengine.web.auth import rule_of
from materializationengine.web.errors import STATUS, status_of

ROOT = Path(__file__).parents[1]
KINDS: dict[type, str] = {str: "text", int: "whole number", float: "number", bool: "switch"}
PACKAGES = ("materializationengine", "localcave", "l1dbproto")


def settings_table() -> str:
    """Every setting: variable, default, and its meaning with the unit."""
    rows = ["| variable | default | kind | meaning |", "|---|---|---|---|"]
    for each in fields(Settings):
        kind = "secret" if each.metadata["secret"] else KINDS[type(each.default)]
        rows.append(f"| `{each.metadata['env']}` | {_default(each.default)} | {kind} | {each.metadata['doc']} |")
    return "\n".join(rows)


def _default(value: object) -> str:
    if value == "":
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def cave_table() -> str:
    """CAVE's names that have no effect, and why."""
    rows = ["| variable | why |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {why} |" for name, why in WITHOUT_EFFECT.items())])


def routes_table() -> str:
    """Every route of the application: methods, path, what the caller must hold, and what the view says of itself."""
    app = create_app(Settings())
    found = []
    for rule in app.url_map.iter_rules():
        methods = ", ".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        view = inspect.unwrap(app.view_functions[rule.endpoint])
        held = rule_of(app.view_functions[rule.endpoint])
        found.append((rule.rule, methods, held.level.value if held else "", first_line(view.__doc__)))
    rows = [f"| {methods} | `{path}` | {who} | {text} |" for path, methods, who, text in sorted(found)]
    return "\n".join(["| method | path | takes | answer |", "|---|---|---|---|", *rows])


def errors_table() -> str:
    """Every error that a caller can meet: HTTP status, the word in `error`, the default message."""
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    rows = [
        f"| {status_of(kind())} | `{kind.__name__}` | {first_line(kind.__doc__)} |"
        for kind in sorted(classes, key=lambda kind: (status_of(kind()), kind.__name__))
        if kind in STATUS or not kind.__subclasses__()
    ]
    return "\n".join(["| status | class | message, unless a more exact one is given |", "|---|---|---|", *rows])


def commands_text() -> str:
    """Every command of `matengine` under a heading of its own, with its options."""
    return "\n\n".join(_commands(main, "matengine"))


def _commands(command: click.Command, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            if inner is not None:
                yield from _commands(inner, f"{name} {each}")
        return
    usage = " ".join(command.collect_usage_pieces(context))
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    rows = [f"| `{', '.join(option.opts + option.secondary_opts)}` | {option.help or ''} |" for option in options]
    table = "\n".join(["| option | meaning |", "|---|---|", *rows]) if rows else ""
    yield f"## `{name}`\n\n{inspect.cleandoc(command.help or '')}\n\n```text\n{name} {usage}\n```\n\n{table}".rstrip()


def tree() -> str:
    """The packages and their rooms, each with the first sentence that its `__init__.py` says of itself."""
    lines = []
    for package in PACKAGES:
        for folder in sorted((ROOT / package).glob("**/__init__.py")):
            relative = folder.parent.relative_to(ROOT)
            if "migrations" not in relative.parts:
                lines.append(("  " * (len(relative.parts) - 1) + f"{relative.name}/", _sentence(folder)))
    width = max(len(name) for name, _ in lines) + 2
    return "```text\n" + "\n".join(f"{name:<{width}}{text}".rstrip() for name, text in lines) + "\n```"


def _sentence(module: Path) -> str:
    text = first_line(ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))))
    return re.sub(r"(?<=\w)\. [A-Z].*", ".", text)


def first_line(text: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((text or "").strip().partition("\n\n")[0].split())
