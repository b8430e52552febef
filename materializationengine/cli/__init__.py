"""`matengine`: the engine from a terminal. Exit code 2 is your mistake, 1 a run that failed or a fault of ours."""

from __future__ import annotations

import os
import sys

import click

from ..domain.errors import MaterializationError, UserMistake
from ..kernel.logs import configure
from ..stack.commands import stack
from .care import backup_command, restore_command
from .db import db
from .demo import demo
from .doctor import config_command, doctor
from .operate import pause, schedules_command, unpause
from .run import run
from .runs import runs
from .verify import verify
from .versions import versions
from .view import view
from .world import world


class _Group(click.Group):
    """Turns the engine's errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except MaterializationError as error:
            click.echo(f"Error: {error.message}", err=True)
            sys.exit(2 if isinstance(error, UserMistake) else 1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="materializationengine")
def main() -> None:
    """Frozen versions of annotations on a segmentation that keeps changing."""
    configure(os.environ.get("LOGGING_LEVEL", "WARNING"), for_people=True)


main.add_command(stack)
main.add_command(demo)
main.add_command(world)
main.add_command(run)
main.add_command(runs)
main.add_command(versions)
main.add_command(verify)
main.add_command(view)
main.add_command(pause)
main.add_command(unpause)
main.add_command(schedules_command)
main.add_command(doctor)
main.add_command(config_command)
main.add_command(backup_command)
main.add_command(restore_command)
main.add_command(db)
