"""Backup: each live database as one archive of `pg_dump`, and a manifest that says what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import psycopg2.extensions

from ..domain.backups import FORMAT, DumpFile, Manifest, SavedDatabase, SavedVersion
from ..domain.errors import BadRequest, BrokenBackup
from ..domain.names import frozen_database
from ..domain.plan import from_json, to_json
from ..kernel import moments
from ..kernel.pg_client import run_client
from .engines import Cluster
from .live_database import live_databases
from .sql import sql

MANIFEST = "manifest.json"
_BLOCK = 1 << 20


def back_up(cluster: Cluster, folder: Path, *, engine: str, now: datetime, with_versions: bool = False) -> Manifest:
    """Write a backup into a new or empty folder; the manifest comes last, so a folder without one is no backup.

    Each database is of one moment of its own: ledger, registry, root history and annotations agree, whatever runs
    meanwhile. Frozen versions are written only `with_versions`. Raises BadRequest for a folder in use, ServerError
    where `pg_dump` fails.
    """
    _open_folder(folder)
    databases = tuple(_save(cluster, name, folder, with_versions) for name in live_databases(cluster))
    with closing(cluster.raw(purpose="backup")) as connection:
        server = str(connection.get_parameter_status("server_version"))
    manifest = Manifest(FORMAT, now, engine, server, databases)
    half = folder / f"{MANIFEST}.new"
    half.write_text(json.dumps(to_json(manifest), indent=2) + "\n", encoding="utf-8")
    half.rename(folder / MANIFEST)
    return manifest


def _open_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BadRequest(f"{folder} is not empty; a backup wants a folder of its own")
    # Annotations and e-mail addresses lie in it.
    folder.chmod(0o700)


def _save(cluster: Cluster, name: str, folder: Path, with_versions: bool) -> SavedDatabase:
    with _snapshot(cluster, name) as (connection, snapshot), connection.cursor() as cursor:
        cursor.execute(sql("care", "layout"))
        ((layout,),) = cursor.fetchall()
        cursor.execute(sql("care", "readable_versions"))
        rows = cursor.fetchall()
        dump = _dump(cluster, name, folder, snapshot)
    versions = tuple(
        SavedVersion(
            *(datastack, version, moments.aware(moment)),
            _dump(cluster, frozen_database(datastack, version), folder) if with_versions else None,
        )
        for datastack, version, moment in rows
    )
    return SavedDatabase(name, name == cluster.home, layout, dump, versions)


@contextmanager
def _snapshot(cluster: Cluster, name: str) -> Iterator[tuple[psycopg2.extensions.connection, str]]:
    """A reader of one moment, and that moment's name for other sessions."""
    with closing(cluster.raw(name, "backup")) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            ((snapshot,),) = cursor.fetchall()
        yield connection, snapshot


def _dump(cluster: Cluster, name: str, folder: Path, snapshot: str | None = None) -> DumpFile:
    file = folder / f"{name}.dump"
    words = ["--format=custom", f"--file={file}", "--exclude-table-data=public.spatial_ref_sys"]
    if snapshot is not None:
        words.append(f"--snapshot={snapshot}")
    run_client("pg_dump", cluster.uri(name, "backup"), words, major=server_major(cluster))
    file.chmod(0o600)
    return _described(file)


def server_major(cluster: Cluster) -> int:
    """The server's major version."""
    with closing(cluster.raw(purpose="version")) as connection:
        return connection.server_version // 10_000


def _described(file: Path) -> DumpFile:
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return DumpFile(file.name, file.stat().st_size, digest.hexdigest())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup whose archives are all there and whole. Raises BrokenBackup naming what is not."""
    try:
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BrokenBackup(f"{folder} holds no {MANIFEST}; a backup that was interrupted has none") from error
    if said.get("format") != FORMAT:
        raise BrokenBackup(f"{folder}: format {said.get('format')}, this release reads {FORMAT}")
    manifest = from_json(said, Manifest)
    for dump in manifest.files:
        if not (folder / dump.file).is_file() or _described(folder / dump.file) != dump:
            raise BrokenBackup(f"{folder / dump.file} is missing, or not what the manifest says")
    return manifest
