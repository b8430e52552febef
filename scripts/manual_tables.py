"""Tables of the manual that are read off the code: settings, routes, errors, commands, folders."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path

import click
from flask import Flask
from werkzeug.routing import Rule

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


def settings_text() -> str:
    """Every setting under a heading of its own: its meaning with the unit, what it holds, its default."""
    return "\n\n".join(f"### `{each.metadata['env']}`\n\n{_setting(each)}" for each in fields(Settings))


def _setting(each: Field[object]) -> str:
    kind = "secret" if each.metadata["secret"] else KINDS[type(each.default)]
    told = each.metadata["doc"]
    return f"{told[0].upper()}{told[1:]}.\n\n{kind.capitalize()}; {_default(each.default)}."


def _default(value: object) -> str:
    if value == "":
        return "absent by default"
    return f"default `{str(value).lower() if isinstance(value, bool) else value}`"


def cave_table() -> str:
    """CAVE's names that have no effect, and why."""
    rows = ["| variable | why |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {why} |" for name, why in WITHOUT_EFFECT.items())])


def routes_text() -> str:
    """Every path of the application under a heading of its own; the two generations of a path share one."""
    app = create_app(Settings())
    rules = list(app.url_map.iter_rules())
    known = {rule.rule for rule in rules}
    paths: dict[str, list[Rule]] = {}
    for rule in rules:
        paths.setdefault(heading_of(rule.rule, known), []).append(rule)
    return "\n\n".join(_route(app, heading, found) for heading, found in sorted(paths.items()))


def heading_of(path: str, known: set[str]) -> str:
    """The heading under which a path stands: its newest generation, names without their kind."""
    newest = path.replace("/api/v2/", "/api/v3/")
    return re.sub(r"<[^<>]*:(\w+)>", r"<\1>", newest if newest in known else path)


def _route(app: Flask, heading: str, rules: list[Rule]) -> str:
    """Methods of a path, what the caller must hold, and what each view says of itself."""
    rows = {}
    for rule in rules:
        view, held = app.view_functions[rule.endpoint], rule_of(app.view_functions[rule.endpoint])
        methods = ", ".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        text = first_line(inspect.unwrap(view).__doc__)
        rows[f"| {methods} | {held.level.value if held else ''} | {text} |"] = None
    older = len({rule.rule for rule in rules}) > 1
    table = "\n".join(["| method | takes | answer |", "|---|---|---|", *sorted(rows)])
    return f"### `{heading}`\n\n" + ("The same under `v2`.\n\n" if older else "") + table


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
