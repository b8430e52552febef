"""Processes, accounts and folders of private servers, where the usual way is closed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from materializationengine.kernel import cluster_home, own_process, pg_client, processes
from materializationengine.kernel.columns import Connection, copy_between
from materializationengine.kernel.postgres import PrivateCluster, ServerError
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.kernel.urls import libpq

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="another user can be tried by root alone")


@contextmanager
def as_nobody() -> Iterator[None]:
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@root_only
def test_who_is_not_root_runs_servers_as_themselves(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with as_nobody():
        assert processes.unprivileged_account() is None
        assert not processes.can_enter(closed, None)
        assert processes.can_enter(Path("/var/tmp"), None)
        home = cluster_home.refuge(Path("/var/tmp/nobodys"), keep=False)
        cluster_home.prepare(home / "cluster", None)
        assert (home / "cluster").stat().st_mode & 0o777 == 0o700
        shutil.rmtree(home)


@root_only
def test_a_folder_that_the_account_cannot_reach_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "there").mkdir()
    with pytest.raises(ServerError, match=f"nobody, as whom PostgreSQL must run, cannot enter {tmp_path}"):
        cluster_home.prepare(tmp_path / "there", processes.Account("nobody", NOBODY, NOBODY))


@root_only
def test_an_account_that_cannot_be_made_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = tmp_path / "useradd"
    maker.write_text("#!/bin/sh\necho 'no room for accounts' >&2; exit 1\n")
    maker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(processes, "ACCOUNTS", ("nobody_of_that_name", "nor_of_this"))
    with pytest.raises(ServerError, match="useradd nor_of_this failed: no room for accounts"):
        processes.unprivileged_account()


def test_a_link_to_data_that_are_gone_is_made_anew(tmp_path: Path) -> None:
    home = tmp_path / "cluster"
    home.symlink_to(tmp_path / "gone")
    cluster_home.prepare(home, processes.unprivileged_account(), keep=False)
    assert home.is_dir()
    # Where the account may not pass, the data lie elsewhere.
    if home.is_symlink():
        (refuge := home.resolve()).joinpath("origin").unlink()
        refuge.rmdir()


def test_a_child_is_ended_by_the_first_signal_that_it_obeys() -> None:
    ignore = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in ({})]"
    deaf = ignore + "; print(1, flush=True); time.sleep(60)"
    for ignored, died_by in (("signal.SIGINT,", signal.SIGTERM), ("signal.SIGINT, signal.SIGTERM", signal.SIGKILL)):
        child = subprocess.Popen([sys.executable, "-c", deaf.format(ignored)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        processes.end(child, signal.SIGINT, signal.SIGTERM, patience=0.5)
        assert child.poll() == -died_by
        processes.end(child, signal.SIGINT)
        child.stdout.close()


def test_a_log_that_has_grown_makes_way_and_the_last_one_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "logs/server.log"
    for text in (b"first", b"second"):
        with processes.open_log(log, most=4) as file:
            file.write(text)
    assert log.read_bytes() == b"second"
    assert processes.tail(log.with_name("server.log.1")) == "first"
    assert processes.tail(tmp_path / "none") == ""


def test_a_server_that_was_not_started_has_no_number_and_one_that_runs_is_left_alone(
    tmp_path: Path, postgres: PrivateCluster
) -> None:
    with pytest.raises(ServerError, match="is not running"):
        _ = PrivateRedis(tmp_path / "redis").pid
    before = postgres.pid
    assert postgres.start().pid == before
    with PrivateRedis(tmp_path / "redis") as server:
        assert server.start().pid == server.pid


def test_when_every_port_is_taken_the_log_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = PrivateRedis(tmp_path / "redis")
    monkeypatch.setattr(server, "_launch", lambda port: False)
    with pytest.raises(ServerError, match=f"no free port in {own_process._ATTEMPTS} attempts; see .*server.log"):
        server.start()


def test_redis_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path / "redis")
    (tmp_path / "redis").mkdir()
    taken = processes.free_port()
    server._password = 'a"b c'  # a word that its configuration cannot hold
    with pytest.raises(ServerError, match="Redis did not start in"):
        server._launch(taken)


def test_a_program_of_postgresql_that_fails_says_its_last_words_and_no_password(postgres: PrivateCluster) -> None:
    words = ["--dbname=no_such_database", "--schema-only"]
    with pytest.raises(pg_client.ProgramFailed, match=r'pg_dump failed: .*"no_such_database" does not exist'):
        pg_client.run_client("pg_dump", postgres.url, words, major=15)


def test_a_stream_between_databases_ends_with_the_first_error_of_either_side(postgres: PrivateCluster) -> None:
    address = libpq(postgres.url)
    with closing(psycopg2.connect(address)) as source, closing(psycopg2.connect(address)) as target:
        target.cursor().execute("CREATE TEMP TABLE taken (n int)")
        failing = "COPY (SELECT 1 / (5 - n) FROM generate_series(1, 9) n) TO STDOUT (FORMAT binary)"
        with pytest.raises(psycopg2.errors.QueryCanceled, match="DivisionByZero division by zero"):
            copy_between(source, failing, target, "COPY taken FROM STDIN (FORMAT binary)")
        target.rollback()
        source.rollback()


def test_a_value_is_asked_of_an_answer_that_has_one(postgres: PrivateCluster) -> None:
    with Connection(libpq(postgres.url)) as connection:
        assert connection.value("SELECT 7") == 7
        with pytest.raises(LookupError, match="no row from"):
            connection.value("SELECT 1 WHERE false")
