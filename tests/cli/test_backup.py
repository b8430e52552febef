"""Backed up, destroyed, restored: the service gives the same answers, and says what it lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner

from materializationengine.bootstrap import Services
from materializationengine.cli import main
from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.storage import run_records, version_care
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from materializationengine.workflows.execute import run_unit
from tests.harness import Engine, Neighbors, ends

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
DAY30, DAY60 = BIRTH + timedelta(days=30), BIRTH + timedelta(days=60)
DAY61 = BIRTH + timedelta(days=61)
API = "/materialize/api/v3/datastack"


@dataclass(frozen=True, slots=True)
class Place:
    """A server of this file's own, its datastack, two backups, and what the service said before the loss."""

    server: PrivateCluster
    environ: dict[str, str]
    own: Engine
    stack: str
    idle: Path
    busy: Path
    said: dict[str, Any]
    runs: list[RunRecord]
    active: str

    @property
    def live(self) -> str:
        """The live database."""
        return f"{self.stack}_volume"

    def command(self, *words: str, code: int = 0) -> Any:
        """`matengine`; what it prints, read where it is JSON."""
        return matengine(self.environ, *words, code=code)


def matengine(environ: dict[str, str], *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(main, [*words], env=environ)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.output


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, neighbors: Neighbors, small_world: Path) -> Iterator[Place]:
    """One backup of a service at rest without its versions, one with them of a service at work."""
    folder = tmp_path_factory.mktemp("backup")
    with PrivateCluster(folder / "server", durable=False, keep=False) as server:
        environ = {
            "SQLALCHEMY_DATABASE_URI": server.url,
            "LOCAL_SERVER_URL": neighbors.url,
            "AUTH_DISABLED": "true",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "MATERIALIZATION_AS_OF_MARGIN": "0",
            "MATERIALIZATION_RETRY_DELAY": "0",
        }
        own, stack = Engine(Services(Settings.from_env(environ), "tests"), neighbors), "kept"
        prepare(own, small_world, stack)
        said, runs = answers(environ, stack), run_records.list_runs(own.services.cluster)
        matengine(environ, "backup", str(folder / "idle"))
        active = own.start_only(RunKind.COMPLETE, stack, as_of=DAY61)
        # One unit and no more: the run is in flight when the backup is made.
        first, *_ = own._due(f"{stack}_volume")
        run_unit(own.services, first.database, first.unit, "tests")
        matengine(environ, "backup", str(folder / "busy"), "--with-versions")
        yield Place(server, environ, own, stack, folder / "idle", folder / "busy", said, runs, active)
        own.services.close()


def prepare(own: Engine, world: Path, stack: str) -> None:
    """A merged and a split version with edits between them, and a virtual one."""
    own.load(world, stack, DAY30)
    own.upload_synapses(world, stack, BIRTH)
    own.run(RunKind.COMPLETE, stack, as_of=DAY30)
    own.edit(stack)
    own.run(RunKind.COMPLETE, stack, as_of=DAY60, split=True)
    with own.services.cluster.connect(f"{stack}_volume") as connection:
        version_care.create_virtual(connection, stack, 1, f"{stack}_public", ["synapses"], moments.now())
        version_care.set_pin(connection, stack, 1, True, "a person")
        connection.commit()


def answers(environ: dict[str, str], stack: str) -> dict[str, Any]:
    """What the service says of the datastack: versions, tables, rows, counts."""
    app = create_app(Settings.from_env(environ))
    try:
        client = app.test_client()
        said: dict[str, Any] = {}
        for number in (1, 2):
            version = f"{API}/{stack}/version/{number}"
            for path in (version, f"{version}/tables", f"{version}/table/synapses/count"):
                said[path] = client.get(path).json
            rows = client.post(f"{version}/table/synapses/query?return_pyarrow=false", json={})
            assert rows.status_code == 200, rows.text
            said[f"{version} rows"] = sorted(map(json.dumps, rows.json))
        said["versions"] = client.get(f"{API}/{stack}/versions").json
        return said
    finally:
        parts(app).close()


def destroy(place: Place) -> None:
    """Every database of the server goes, the template too; the home database is as a new one."""
    place.own.services.close()
    with closing(psycopg2.connect(place.server.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'")
            for (name,) in cursor.fetchall():
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            cursor.execute("DROP SCHEMA IF EXISTS matengine CASCADE")
            cursor.execute("DROP SCHEMA public CASCADE")
            cursor.execute("CREATE SCHEMA public")
            cursor.execute("COMMENT ON DATABASE postgres IS NULL")


def test_what_was_destroyed_answers_as_before(place: Place) -> None:
    destroy(place)
    restored = place.command("restore", str(place.idle), "--json")
    assert [(each["version"], each["error"]) for each in restored["versions"]] == [(1, None), (2, None)]
    assert answers(place.environ, place.stack) == place.said
    found = {run.id: run.to_json() for run in run_records.list_runs(place.own.services.cluster)}
    assert all(found[run.id] == run.to_json() for run in place.runs)
    # It is a service that works, not a picture of one.
    place.own.run(RunKind.COMPLETE, place.stack, as_of=DAY61)
    assert (ends(place.own.frozen(place.stack, 3), "root_id") > 0).any()
    assert "has its database" in place.command("run", "freeze", place.stack, "--rebuilds", "1", code=2)
    assert "no version 9" in place.command("run", "freeze", place.stack, "--rebuilds", "9", code=2)


def test_a_backup_in_the_midst_of_a_run_is_of_one_moment(place: Place) -> None:
    destroy(place)
    place.command("restore", str(place.busy))
    assert answers(place.environ, place.stack) == place.said
    ended = run_records.find_run(place.own.services.cluster, place.active)
    assert (ended.status, ended.version) == (RunStatus.CANCELLED, 3)
    assert "backup" in (ended.error or "")
    statuses = [row["status"] for row in place.command("versions", place.stack, "--json")]
    assert statuses == ["FAILED", "AVAILABLE", "AVAILABLE"]
    place.own.run(RunKind.COMPLETE, place.stack, as_of=DAY61)
    with (
        closing(psycopg2.connect(place.server.url, dbname=f"{place.stack}__mat1")) as frozen,
        frozen.cursor() as cursor,
        pytest.raises(psycopg2.errors.ReadOnlySqlTransaction),
    ):
        cursor.execute("DELETE FROM synapses")


def test_a_version_that_comes_out_different_is_not_published(place: Place) -> None:
    destroy(place)
    assert "--rebuilds 1" in place.command("restore", str(place.idle), "--no-rebuild")
    assert {row["status"] for row in place.command("versions", place.stack, "--json")} == {"FAILED"}
    first = "WHERE id = (SELECT min(id) FROM synapses)"
    change(place, f"UPDATE synapses SET size = size * 2 {first}")
    assert "different from what was published: synapses" in refused(place, 1)
    assert place.command("versions", place.stack, "1", "--json")[0]["status"] == "FAILED"
    # Another release knows rows by a hash of its own; what readers see has one digest.
    change(place, f"UPDATE synapses SET size = size / 2 {first}", "UPDATE matengine.frozen_table SET digest = ''")
    assert place.own.attempt(RunKind.FREEZE, place.stack, rebuilds=1).status is RunStatus.SUCCEEDED
    change(place, "UPDATE matengine.frozen_table SET facts = facts - 'content'")
    assert "different from what was published" in refused(place, 2)


def change(place: Place, *statements: str) -> None:
    with place.own.services.cluster.connect(place.live) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def refused(place: Place, version: int) -> str:
    failed = place.own.attempt(RunKind.FREEZE, place.stack, rebuilds=version)
    assert failed.status is RunStatus.FAILED
    return failed.error or ""


def test_a_restore_overwrites_nothing_and_wants_a_whole_backup(place: Place, tmp_path: Path) -> None:
    destroy(place)
    kept = shutil.copytree(place.busy, tmp_path / "kept")
    place.command("restore", str(kept))
    assert "not empty" in place.command("backup", str(kept), code=2)
    assert "overwrites nothing" in place.command("restore", str(kept), code=2)
    dump = kept / f"{place.live}.dump"
    assert (place.busy.stat().st_mode & 0o777, (place.busy / dump.name).stat().st_mode & 0o777) == (0o700, 0o600)
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "not what the manifest says" in place.command("restore", str(kept), code=2)
    dump.write_bytes(whole)
    said = json.loads((kept / "manifest.json").read_text())
    for database in said["databases"]:
        database["layout"] = "9999"
    (kept / "manifest.json").write_text(json.dumps(said))
    assert "newer than this release" in place.command("restore", str(kept), code=2)
    (kept / "manifest.json").unlink()
    assert "interrupted" in place.command("restore", str(kept), code=2)


def test_the_password_is_on_no_command_line(tmp_path: Path) -> None:
    """A `pg_dump` of ours that writes down how it was called."""
    said = tmp_path / "said"
    fake = tmp_path / "bin/pg_dump"
    fake.parent.mkdir()
    told = f'tr "\\0" " " < /proc/$$/cmdline > {said}; echo >> {said}; env >> {said}'
    fake.write_text(f'#!/bin/sh\n{told}\ncat "$PGSERVICEFILE" > {said}.service\n')
    fake.chmod(0o755)
    program = (
        "import os, sys; from materializationengine.kernel import pg_client; "
        "pg_client.run_client('pg_dump', os.environ['U'], ['--schema-only'], major=1)"
    )
    url = "postgresql://someone:se%2Fcret@127.0.0.1:1/some?application_name=a%20b"
    path = f"{fake.parent}:{os.environ['PATH']}"
    code = f"import materializationengine.kernel.pg_client as c; c.installations = lambda _: []; {program}"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PATH": path, "U": url}, check=True)
    called, *variables = said.read_text().splitlines()
    assert "--schema-only" in called and "cret" not in called
    assert not any("cret" in line for line in variables if not line.startswith("U="))
    assert "password=se/cret" in Path(f"{said}.service").read_text()
    assert "application_name=a b" in Path(f"{said}.service").read_text()
