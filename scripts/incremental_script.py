"""What the two incremental scripts share: their arguments, as in 2019, and the run that they become."""

from __future__ import annotations

import os
import socket
import sys
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.domain.errors import BadRequest, ConfigurationError, UserMistake
from materializationengine.domain.plan import AnnotationSource, RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel import moments
from materializationengine.workflows.inline import run_here
from materializationengine.workflows.requests import RunRequest

URI = "MATERIALIZATION_POSTGRES_URI"
MULTIPLIERS = (1, 3, 25, 3)
"""Threads of phases 1 to 4 for each one that `--n_threads` gives, as the script of 2019 had them."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What sets one script apart: its words, threads and phases, and whether it mends instead of making anew."""

    description: str
    threads: int
    phases: tuple[int, ...]
    mends: bool


def numbers(text: str) -> tuple[int, ...]:
    """`1,3,4` as whole numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: whole numbers with commas between are needed") from error


def moment(text: str) -> datetime:
    """A moment in ISO 8601, UTC where it names no zone."""
    try:
        return moments.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: a moment like 2026-01-31T12:00:00 is needed") from error


def parser(stage: Stage) -> ArgumentParser:
    """Every argument of the script of 2019, and those of today."""
    made = ArgumentParser(description=stage.description, formatter_class=ArgumentDefaultsHelpFormatter)
    add = made.add_argument
    add("--dataset_name", default="pinky100", help="the datastack")
    add("--base_version", type=int, required=True, help="the version to start from")
    if stage.mends:
        add("--version", type=int, required=True, help="the version to mend")
    else:
        add(
            "--time_stamp", type=moment, help="the new version's moment; without it now, less the margin for late edits"
        )
    add("--n_threads", type=int, default=stage.threads, help="threads, times the multiplier of each phase")
    add("--multipliers", type=numbers, default=MULTIPLIERS, help="threads of phases 1,2,3,4 for each of n_threads")
    add("--phases", type=numbers, default=stage.phases, help="which phases to do")
    sources = [str(source) for source in AnnotationSource]
    add("--annotation-source", choices=sources, default="storage", help="where phase 3 reads new tables: rest asks the "
        "annotation service (ANNOTATION_SERVER_URL, or LOCAL_SERVER_URL)")  # fmt: skip
    add("--sql_uri", help=f"the database server; without it the variable {URI}")
    add("--cg_table_id", help="checked against the datastack's chunkedgraph table")
    # The graph and the annotations are asked over HTTP and SQL now: the instances have no meaning any more.
    add("--cg_instance_id", default="pychunkedgraph", help="accepted, without effect")
    add("--amdb_instance_id", default="pychunkedgraph", help="accepted, without effect")
    return made


def request(stage: Stage, args: Namespace) -> RunRequest:
    """The run that the arguments describe. Raises BadRequest."""
    if len(args.multipliers) != len(MULTIPLIERS) or args.n_threads < 1:
        raise BadRequest("--n_threads and the four --multipliers are whole numbers from 1 up")
    return RunRequest(
        RunKind.INCREMENTAL,
        args.dataset_name,
        as_of=None if stage.mends else args.time_stamp,
        base_version=args.base_version,
        mends=args.version if stage.mends else None,
        phases=args.phases,
        threads=tuple(args.n_threads * each for each in args.multipliers),
        requested_by=Path(sys.argv[0]).name,
        annotation_source=AnnotationSource(args.annotation_source),
    )


def services(args: Namespace) -> Services:
    """The engine on the server that is meant. Raises ConfigurationError, BadRequest."""
    uri = args.sql_uri or os.environ.get(URI)
    if not uri:
        raise ConfigurationError(f"name the database server: --sql_uri, or the variable {URI}")
    made = Services(Settings.from_env({**os.environ, "SQLALCHEMY_DATABASE_URI": uri}), "incremental script")
    table = made.datastacks.get(args.dataset_name).pcg_table
    if args.cg_table_id not in (None, table):
        raise BadRequest(f"--cg_table_id {args.cg_table_id}: datastack {args.dataset_name} is bound to {table}")
    return made


def main(stage: Stage, argv: Sequence[str] | None = None) -> int:
    """Run a stage and tell what it did. Exit code 0 for success, 2 for a mistake in the arguments, else 1."""
    args = parser(stage).parse_args(argv)
    try:
        parts = services(args)
        try:
            record = run_here(parts, request(stage, args), f"{socket.gethostname()} {os.getpid()}")
        finally:
            parts.close()
    except UserMistake as mistake:
        click.echo(f"Error: {mistake.message}", err=True)
        return 2
    tell(record)
    return 0 if record.status is RunStatus.SUCCEEDED else 1


def tell(record: RunRecord) -> None:
    """The seconds of each step, and the outcome."""
    for step in record.steps:
        click.echo(f"{step.name}: {step.rows} rows, {step.seconds:.2f} s")
    told = f"version {record.version}" if record.status is RunStatus.SUCCEEDED else record.error
    click.echo(f"run {record.id} {record.status}: {told}")
