"""Where a command finds the engine: a stack's folder, or the settings in the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import click

from ..bootstrap import Services
from ..config import Settings
from ..domain.errors import BadMoment
from ..kernel import moments
from ..stack.info import DEFAULT_FOLDER, StackInfo, StackNotRunning, described, locate

folder_option: Callable[..., Any] = click.option(
    "--dir", "folder", type=click.Path(file_okay=False), help="The stack's folder (else MATENGINE_DIR or settings)."
)
json_option: Callable[..., Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Moment(click.ParamType):
    """A moment in ISO 8601; without a zone it is UTC."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it, or end with exit code 2."""
        if isinstance(value, datetime):
            return value
        try:
            return moments.parse(str(value))
        except ValueError:
            self.fail(f"{value!r}: {BadMoment.__doc__}", param, ctx)


def find_stack(folder: str | None) -> StackInfo | None:
    """The running stack that is meant, or None where the settings in the environment are."""
    chosen = folder or os.environ.get("MATENGINE_DIR")
    if chosen:
        return _located(chosen)
    if os.environ.get("SQLALCHEMY_DATABASE_URI"):
        return described(os.environ)
    try:
        return locate(DEFAULT_FOLDER)
    except StackNotRunning:
        return None


def _located(folder: str) -> StackInfo:
    try:
        return locate(folder)
    except StackNotRunning as error:
        raise click.ClickException(str(error)) from error


def environment(folder: str | None) -> Mapping[str, str]:
    """The environment as the chosen stack's own processes have it."""
    stack = find_stack(folder)
    return os.environ if stack is None else {**os.environ, **stack.environment()}


def services(folder: str | None) -> Services:
    """The engine's parts for one command, closed when it ends."""
    made = Services(Settings.from_env(environment(folder)), "matengine command")
    click.get_current_context().call_on_close(made.close)
    return made
