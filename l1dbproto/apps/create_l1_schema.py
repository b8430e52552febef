"""`create_l1_schema`: make the tables of an L1 database."""

from __future__ import annotations

import click

from ..l1db import L1db
from .common import config_option, configure_logging, one_line_errors, verbose_option


@click.command()
@verbose_option
@click.option("--drop", is_flag=True, help="Remove all tables of the package, with their rows, first.")
@config_option
@one_line_errors
def main(verbosity: int, drop: bool, config: str) -> None:
    """Make the tables that the configuration file describes."""
    configure_logging(verbosity)
    L1db(config).makeSchema(drop)


if __name__ == "__main__":
    main()
