"""`matengine run KIND ...`: start a workflow, and wait for it if asked to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ..domain.datastack import Resolution
from ..domain.estimate import GB, check_room
from ..domain.plan import RunKind, RunStatus, to_json
from ..workflows.celery_app import create_celery
from ..workflows.launch import estimate_run, launch
from ..workflows.requests import RunRequest, UploadRequest
from .context import Moment, folder_option, json_option, services
from .progress import show_record, watch


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--timestamp", type=Moment(), help="The moment of the run (default: now less the margin)."),
        click.option("--wait", is_flag=True, help="Wait; exit code 0 only if the run succeeds."),
        click.option("--dry-run", is_flag=True, help="Print the plan and do nothing."),
        json_option,
        folder_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


_ids: Callable[..., Any] = click.option(
    "--id", "ids", multiple=True, type=int, help="Only the annotation of this id; may be repeated."
)


@click.group()
def run() -> None:
    """Start a workflow."""


def _start(
    request: RunRequest, timestamp: datetime | None, wait: bool, dry_run: bool, as_json: bool, folder: str | None
) -> None:
    parts = services(folder)
    request = replace(request, as_of=timestamp, requested_by="command line")
    if dry_run:
        plan, expected = estimate_run(parts, request)
        click.echo(json.dumps(to_json(plan) | {"estimate": to_json(expected)}, indent=2))
        check_room(expected, parts.settings.disk_reserve * GB)
        return
    record = launch(parts, request, create_celery(parts.settings).send)
    if wait:
        record = watch(parts.cluster, record.id, quiet=as_json)
    show_record(record, as_json)
    if wait and record.status is not RunStatus.SUCCEEDED:
        sys.exit(1)


@run.command("bulk-upload")
@click.argument("datastack")
@click.argument("table")
@click.option("--schema", required=True, help="Annotation schema, for instance synapse.")
@click.option("--path", required=True, help="Folder of .npy files: a path, file:// or gs://.")
@click.option("--mapping", required=True, type=click.Path(exists=True, dir_okay=False), help="JSON: file to column(s).")
@click.option("--created", type=Moment(), help="Moment that stamps every row (default: now).")
@click.option("--roots-as-of", type=Moment(), help="Moment at which supplied root ids were true.")
@click.option("--resolution", help="Nanometers per unit: x,y,z (default: the datastack's).")
@click.option("--description", default="", help="What the table holds.")
@click.option("--reference-table", help="The table that target_id points to.")
@click.option("--force", is_flag=True, help="Allow rows dated before the newest version; the run records it.")
@_common
def bulk_upload(
    datastack: str,
    table: str,
    schema: str,
    path: str,
    mapping: str,
    created: datetime | None,
    roots_as_of: datetime | None,
    resolution: str | None,
    description: str,
    reference_table: str | None,
    force: bool,
    **common: Any,
) -> None:
    """Load .npy columns into a new TABLE."""
    upload = UploadRequest(
        table=table,
        schema=schema,
        path=path if "://" in path else str(Path(path).absolute()),
        mapping=_mapping(mapping),
        created=created,
        roots_as_of=roots_as_of,
        resolution=_resolution(resolution),
        description=description,
        reference_table=reference_table,
        force=force,
    )
    _start(RunRequest(RunKind.BULK_UPLOAD, datastack, upload=upload), **common)


def _mapping(path: str) -> dict[str, Any]:
    try:
        mapping = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.BadParameter(f"{path} is no JSON: {error}", param_hint="--mapping") from error
    if not isinstance(mapping, dict) or not mapping:
        raise click.BadParameter(f"{path}: an object of file names to columns is needed", param_hint="--mapping")
    return mapping


def _resolution(text: str | None) -> Resolution | None:
    if text is None:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: three numbers x,y,z are needed", param_hint="--resolution") from error
    return x, y, z


@run.command()
@click.argument("datastack")
@click.argument("table", required=False)
@_ids
@_common
def ingest(datastack: str, table: str | None, ids: tuple[int, ...], **common: Any) -> None:
    """Look up the supervoxels and roots of new annotations."""
    _start(RunRequest(RunKind.INGEST, datastack, table=table, annotation_ids=ids or None), **common)


@run.command("lookup-svid")
@click.argument("datastack")
@click.argument("table")
@_ids
@_common
def lookup_svid(datastack: str, table: str, ids: tuple[int, ...], **common: Any) -> None:
    """Look up the supervoxels of new annotations of TABLE; their roots follow with the next ingest or update."""
    _start(RunRequest(RunKind.LOOKUP_SVID, datastack, table=table, annotation_ids=ids or None), **common)


@run.command("sparse-missing-roots")
@click.argument("datastack")
@click.argument("table")
@_common
def sparse_missing_roots(datastack: str, table: str, **common: Any) -> None:
    """Look up missing roots of TABLE, where few rows lack one."""
    _start(RunRequest(RunKind.SPARSE_MISSING_ROOTS, datastack, table=table), **common)


@run.command("dense-missing-roots")
@click.argument("datastack")
@click.argument("table", required=False)
@_common
def dense_missing_roots(datastack: str, table: str | None, **common: Any) -> None:
    """Look up missing roots of every table, or of TABLE, where most rows lack one."""
    _start(RunRequest(RunKind.DENSE_MISSING_ROOTS, datastack, table=table), **common)


@run.command("remove-bad-roots")
@click.argument("datastack")
@click.argument("table")
@click.argument("roots", nargs=-1, required=True, type=int)
@_common
def remove_bad_roots(datastack: str, table: str, roots: tuple[int, ...], **common: Any) -> None:
    """Take ROOTS away from TABLE; the next ingest or update looks those rows up again."""
    _start(RunRequest(RunKind.REMOVE_BAD_ROOTS, datastack, table=table, bad_roots=roots), **common)


@run.command("update-roots")
@click.argument("datastack")
@click.option("--all", "everything", is_flag=True, help="Ask every supervoxel, not only those whose root expired.")
@_common
def update_roots(datastack: str, everything: bool, **common: Any) -> None:
    """Bring every root id to the run's moment."""
    _start(RunRequest(RunKind.UPDATE_ROOTS, datastack, everything=everything), **common)


@run.command("update-database")
@click.argument("datastack")
@click.option("--all", "everything", is_flag=True, help="Ask every supervoxel, not only those whose root expired.")
@_common
def update_database(datastack: str, everything: bool, **common: Any) -> None:
    """Ingest new annotations and update roots, in one run; no version is made."""
    _start(RunRequest(RunKind.UPDATE_DATABASE, datastack, everything=everything), **common)


@run.command()
@click.argument("datastack")
@click.option("--expires-in-days", type=click.IntRange(0), help="0: never (default: DAYS_TO_EXPIRE).")
@click.option("--split", is_flag=True, help="Keep annotation and segmentation tables apart.")
@click.option("--rebuilds", type=int, help="Make the lost database of this version anew, as it was published.")
@_common
def freeze(datastack: str, expires_in_days: int | None, split: bool, rebuilds: int | None, **common: Any) -> None:
    """Publish a version of the live tables as they stand."""
    days = expires_in_days
    _start(RunRequest(RunKind.FREEZE, datastack, expires_in_days=days, split=split, rebuilds=rebuilds), **common)


@run.command()
@click.argument("datastack")
@click.option("--expires-in-days", type=click.IntRange(0), help="0: never (default: DAYS_TO_EXPIRE).")
@click.option("--split", is_flag=True, help="Keep annotation and segmentation tables apart.")
@_common
def complete(datastack: str, expires_in_days: int | None, split: bool, **common: Any) -> None:
    """Ingest, update roots and freeze, at one moment."""
    _start(RunRequest(RunKind.COMPLETE, datastack, expires_in_days=expires_in_days, split=split), **common)


@run.command()
@click.argument("datastack")
@click.option("--base", type=click.IntRange(1), required=True, help="The version to start from.")
@click.option("--mend", type=click.IntRange(1), help="Mend this version instead of making a new one.")
@click.option("--expires-in-days", type=click.IntRange(0), help="0: never (default: DAYS_TO_EXPIRE).")
@click.option("--split", is_flag=True, help="Keep annotation and segmentation tables apart.")
@_common
def incremental(
    datastack: str, base: int, mend: int | None, expires_in_days: int | None, split: bool, **common: Any
) -> None:
    """Publish a version made from a BASE version and what changed since."""
    request = RunRequest(
        RunKind.INCREMENTAL,
        datastack,
        base_version=base,
        mends=mend,
        expires_in_days=expires_in_days,
        split=split,
    )
    _start(request, **common)


@run.command()
@click.argument("datastack", required=False)
@click.option("--keep", type=click.IntRange(1), help="Newest versions that stay (default: MIN_DATABASES).")
@_common
def retire(datastack: str | None, keep: int | None, **common: Any) -> None:
    """End expired versions, of DATASTACK or of all, drop their databases, and prune the ledger."""
    _start(RunRequest(RunKind.RETIRE, datastack, keep=keep), **common)


@run.command()
@_common
def dummy(**common: Any) -> None:
    """Units that only wait, to see queues and workers at work."""
    _start(RunRequest(RunKind.DUMMY), **common)
