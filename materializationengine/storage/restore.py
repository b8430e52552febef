"""Restore: archives of a backup become databases again, each of them whole or not at all."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import closing
from pathlib import Path

from ..domain.backups import DumpFile, Manifest, SavedDatabase, SavedVersion
from ..domain.errors import BadRequest
from ..domain.names import frozen_database
from ..domain.plan import RunStatus
from ..kernel.pg_client import run_client
from . import ledger
from .backup import server_major
from .engines import Cluster
from .frozen_build import drop_build
from .live_database import create, exists, known_layouts, mark, migrate
from .sql import quote, sql
from .version_publishing import fail_version, grant_readers

NOT_OURS = ("EXTENSION", "COMMENT - EXTENSION")
"""Entries of an archive that a database made from the template has already, and that only a superuser may write."""


def restore(cluster: Cluster, folder: Path, manifest: Manifest) -> tuple[SavedVersion, ...]:
    """Bring back every database of a backup; returns the versions whose rows were not in it.

    Those are FAILED until they are made anew. Runs that were active are CANCELLED, and their versions FAILED.
    Raises BadRequest, before anything is written, where a database is in the way or is newer than this code.
    """
    _check(cluster, manifest)
    for database in manifest.databases:
        for version in database.versions:
            if version.dump is not None:
                _restore_version(cluster, folder, version, version.dump)
        _restore_live(cluster, folder, database)
    return tuple(v for database in manifest.databases for v in database.versions if v.dump is None)


def _check(cluster: Cluster, manifest: Manifest) -> None:
    for database in manifest.databases:
        if database.layout not in known_layouts():
            raise BadRequest(f"{database.name} has layout {database.layout}, newer than this release knows")
        names = [frozen_database(v.datastack, v.version) for v in database.versions if v.dump is not None]
        names += [] if database.home else [database.name]
        if there := [name for name in names if exists(cluster, name)]:
            raise BadRequest(f"database {there[0]} exists; a restore overwrites nothing, so drop or rename it first")
    if _in_use(cluster):
        raise BadRequest(f"the home database {cluster.home} holds runs or tables; restore into an empty one")


def _in_use(cluster: Cluster) -> bool:
    with cluster.connect() as home:
        return bool(home.value(sql("care", "has_layout"))) and bool(home.value(sql("care", "holds_anything")))


def _restore_version(cluster: Cluster, folder: Path, version: SavedVersion, dump: DumpFile) -> None:
    with _Fresh(cluster) as fresh:
        _load(cluster, fresh.name, folder / dump.file, "--jobs=2")
        _settle(cluster, fresh.name)
        grant_readers(cluster, fresh.name)
        with closing(cluster.raw(purpose="restore")) as admin, admin, admin.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {quote(fresh.name)} SET default_transaction_read_only = on")
        fresh.rename(frozen_database(version.datastack, version.version))


def _settle(cluster: Cluster, database: str) -> None:
    """What a freeze does by COPY .. FREEZE: no reader of a frozen table ever has to ask whether a row is visible."""
    with closing(cluster.raw(database, "restore")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (FREEZE, ANALYZE)")


def _restore_live(cluster: Cluster, folder: Path, saved: SavedDatabase) -> None:
    if saved.home:
        # It cannot be renamed into place, since everybody is connected to it; one transaction does as well.
        words = ("--single-transaction", *(("--clean", "--if-exists") if _has_layout(cluster) else ()))
        _add_postgis(cluster)
        _load(cluster, cluster.home, folder / saved.dump.file, *words)
        _make_true(cluster, cluster.home, saved)
        mark(cluster, cluster.home)
        return
    with _Fresh(cluster) as fresh:
        _load(cluster, fresh.name, folder / saved.dump.file, "--jobs=2")
        _make_true(cluster, fresh.name, saved)
        fresh.rename(saved.name)
    mark(cluster, saved.name)


def _has_layout(cluster: Cluster) -> bool:
    with cluster.connect() as home:
        return bool(home.value(sql("care", "has_layout")))


def _add_postgis(cluster: Cluster) -> None:
    with closing(cluster.raw(purpose="restore")) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS postgis")


def _make_true(cluster: Cluster, database: str, saved: SavedDatabase) -> None:
    """Nothing runs, and nothing can be read that is not there."""
    migrate(cluster, database, marked=False)
    with cluster.connect(database, "restore") as connection:
        reason = "it was active when the backup was made that was restored"
        for run, datastack, version in connection.rows(sql("care", "running_runs")):
            ledger.end_run(connection, run, RunStatus.CANCELLED, reason)
            if version is not None:
                fail_version(connection, datastack, version, run, reason)
        connection.commit()
    with closing(cluster.raw(database, "restore")) as raw, raw, raw.cursor() as cursor:
        for lost in (version for version in saved.versions if version.dump is None):
            told = "its rows were not in the backup that was restored; make it anew"
            cursor.execute(sql("care", "lose_version"), (lost.datastack, lost.version, told))
    cluster.forget(database)


def _load(cluster: Cluster, database: str, file: Path, *words: str) -> None:
    """`pg_restore` all but what the template has."""
    uri, major = cluster.uri(database, "restore"), server_major(cluster)
    entries = run_client("pg_restore", uri, ["--list", str(file)], major=major).splitlines()
    wanted = [line for line in entries if not line.startswith(";") and not _is_given(line)]
    with tempfile.NamedTemporaryFile("w", prefix="matengine-", suffix=".list") as chosen:
        chosen.write("\n".join(wanted) + "\n")
        chosen.flush()
        options = ["--exit-on-error", "--no-owner", "--no-privileges", f"--use-list={chosen.name}"]
        run_client("pg_restore", uri, [*options, *words, f"--dbname={database}", str(file)], major=major)


def _is_given(line: str) -> bool:
    # "3; 2615 2200 SCHEMA - public owner": the entry's kind comes after three numbers.
    kind = line.partition("; ")[2].split(" ", 2)[2]
    return kind.startswith((*NOT_OURS, "SCHEMA - public", "COMMENT - SCHEMA public"))


class _Fresh:
    """A database that has no name anybody looks for until it is whole, and goes where it never becomes so."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.name = f"matengine_restore_{secrets.token_hex(6)}"
        self._named = False

    def __enter__(self) -> _Fresh:
        create(self._cluster, self.name)
        return self

    def rename(self, name: str) -> None:
        """Give it the name under which it is looked for."""
        self._cluster.forget(self.name)
        with closing(self._cluster.raw(purpose="restore")) as admin, admin, admin.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {quote(self.name)} RENAME TO {quote(name)}")
        self._named = True

    def __exit__(self, *_: object) -> None:
        if not self._named:
            self._cluster.forget(self.name)
            drop_build(self._cluster, self.name)
