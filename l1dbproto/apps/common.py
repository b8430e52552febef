"""What the programs share: verbosity, the log's format, and one line for every mistake."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from ..errors import L1dbError, StoreBusy, StoreUnavailable

LOG_FORMAT = "%(asctime)s [%(levelname)s] %(name)s: %(message)s"

verbose_option = click.option(
    "-v", "--verbose", "verbosity", count=True, help="Log more; -v for progress, -vv for everything."
)
config_option = click.option(
    "-c",
    "--config",
    default="l1db.cfg",
    show_default=True,
    type=click.Path(),
    help="Configuration file of the database.",
)


def configure_logging(verbosity: int) -> None:
    """Log to standard error: warnings, or progress, or everything."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    logging.basicConfig(level=level, format=LOG_FORMAT, stream=sys.stderr, force=True)


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn our refusals into one line on standard error: exit code 2 for a mistake, 1 for a database that is away."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except L1dbError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(1 if isinstance(error, StoreBusy | StoreUnavailable) else 2)

    return wrapped
