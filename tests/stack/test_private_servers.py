"""Private PostgreSQL and Redis: real servers, started, killed and taken up again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from materializationengine.kernel import cluster_home, own_process, postgres, processes
from materializationengine.kernel import redis as private_redis
from materializationengine.kernel.postgres import PrivateCluster, ServerError
from materializationengine.kernel.redis import PrivateRedis


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PrivateCluster]:
    cluster = PrivateCluster(tmp_path / "postgres", durable=False, keep=False)
    yield cluster
    cluster.keep = False
    cluster.stop()


def kill(server: PrivateCluster | PrivateRedis) -> None:
    os.kill(server.pid, signal.SIGKILL)
    assert processes.wait_until(lambda: not server.running, 5)


def ask(cluster: PrivateCluster, statement: str) -> object:
    connection = psycopg2.connect(cluster.url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def test_a_cluster_keeps_its_rows_over_a_stop_and_a_kill(cluster: PrivateCluster) -> None:
    cluster.start()
    ask(cluster, "CREATE TABLE t AS SELECT 7 AS x")
    cluster.keep = True
    cluster.stop()
    assert list(processes.processes_in(cluster.data, "postgres")) == []
    cluster.start()
    assert ask(cluster, "SELECT x FROM t") == 7
    kill(cluster)
    began = time.monotonic()
    cluster.start()
    assert ask(cluster, "SELECT x FROM t") == 7
    assert time.monotonic() - began < 10


def test_postgis_comes_up_with_the_server_unless_nobody_wants_it(cluster: PrivateCluster, tmp_path: Path) -> None:
    cluster.start()
    assert ask(cluster, "SHOW shared_preload_libraries") == "postgis-3"
    with PrivateCluster(tmp_path / "bare", durable=False, keep=False, extensions=()) as bare:
        assert ask(bare, "SHOW shared_preload_libraries") == ""


def test_a_busy_orphan_of_a_killed_server_does_not_block_the_next(cluster: PrivateCluster) -> None:
    cluster.keep = True
    cluster.start()
    busy = "SELECT count(*) FROM generate_series(1, 1000000000000)"

    def run() -> None:
        with pytest.raises(psycopg2.Error):
            ask(cluster, busy)

    client = threading.Thread(target=run)
    client.start()
    count = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $$" + busy + "$$"
    assert processes.wait_until(lambda: ask(cluster, count) == 1, 10)
    kill(cluster)
    cluster.start()
    client.join(10)
    assert not client.is_alive()
    assert ask(cluster, count) == 0


def test_a_lock_file_that_names_a_strangers_process_is_forgotten(cluster: PrivateCluster) -> None:
    cluster.keep = True
    cluster.start().stop()
    (cluster.data / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster.data}\n0\n1\n\n127.0.0.1\n")
    cluster.start()
    assert ask(cluster, "SELECT 1") == 1


def test_a_second_owner_of_a_running_cluster_is_refused(
    cluster: PrivateCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.start()
    monkeypatch.setattr(postgres, "wait_until", lambda ready, seconds, interval=0.0: ready())
    with pytest.raises(ServerError, match=f"process {cluster.pid}"):
        PrivateCluster(cluster.folder, keep=False).start()
    assert ask(cluster, "SELECT 1") == 1


def test_a_taken_port_leads_to_another(cluster: PrivateCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], processes.free_port()])
        monkeypatch.setattr(own_process, "free_port", lambda: next(ports))
        cluster.start()
        assert ask(cluster, "SELECT 1") == 1
        assert next(ports, None) is None


def test_it_speaks_only_with_a_password_and_only_on_loopback(cluster: PrivateCluster) -> None:
    cluster.start()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(cluster.url.replace("@", "x@"))
    assert ask(cluster, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(cluster, "SHOW timezone") == "UTC"
    assert cluster.folder.resolve().stat().st_mode & 0o777 == 0o700


def test_an_absent_extension_names_the_package(tmp_path: Path) -> None:
    cluster = PrivateCluster(tmp_path / "postgres", durable=False, keep=False, extensions=("no_such_extension",))
    with pytest.raises(ServerError, match=r"lacks no_such_extension; `apt-get install postgresql-\d+-postgis-3`"):
        cluster.start()
    assert not cluster.folder.exists()


def test_an_absent_server_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = processes.require

    def without(binary: str, packages: str, folders: object = ()) -> str:
        return found("no-such-" + binary, packages) if binary in ("initdb", "redis-server") else found(binary, packages)

    monkeypatch.setattr(postgres, "require", without)
    monkeypatch.setattr(private_redis, "require", without)
    with pytest.raises(ServerError, match="`apt-get install postgresql postgresql-postgis`"):
        PrivateCluster(tmp_path / "postgres", keep=False).start()
    assert not (tmp_path / "postgres").is_symlink()
    with pytest.raises(ServerError, match="`apt-get install redis-server`"):
        PrivateRedis(tmp_path / "redis").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's cluster runs under another account")
def test_data_moves_where_the_account_can_enter_and_back_out_with_it(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    cluster = PrivateCluster(closed / "postgres", durable=False, keep=False)
    with cluster:
        home = cluster.folder.resolve()
        assert home.parent == Path("/var/tmp")
        assert cluster.data.stat().st_uid != 0
    assert not home.exists()
    assert not cluster.folder.is_symlink()


def test_a_forgotten_refuge_goes_when_its_folder_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_home, "REFUGES", tmp_path)
    first = cluster_home.refuge(tmp_path / "postgres")
    other = cluster_home.refuge(tmp_path / "elsewhere")
    second = cluster_home.refuge(tmp_path / "postgres")
    assert not first.exists()
    assert other.exists() and second.exists()


def test_a_refuge_whose_process_was_killed_goes_if_it_was_not_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_home, "REFUGES", tmp_path)
    kept, ours = cluster_home.refuge(tmp_path / "a"), cluster_home.refuge(tmp_path / "b", keep=False)
    orphan = cluster_home.refuge(tmp_path / "c", keep=False)
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    (orphan / "origin").write_text(f"{tmp_path / 'c'}\n{dead.pid}\n")
    cluster_home.refuge(tmp_path / "d")
    assert not orphan.exists()
    assert kept.exists()
    assert ours.exists()


def test_servers_die_with_their_owner(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import time
        from materializationengine.kernel.postgres import PrivateCluster
        from materializationengine.kernel.redis import PrivateRedis
        cluster = PrivateCluster({str(tmp_path / "postgres")!r}, durable=False).start()
        broker = PrivateRedis({str(tmp_path / "redis")!r}).start()
        print(cluster.pid, broker.pid, cluster.data, flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        cluster_pid, broker_pid, data = owner.stdout.readline().split()
        owner.kill()

    def gone() -> bool:
        return not Path(f"/proc/{broker_pid}").exists() and not list(processes.processes_in(Path(data), "postgres"))

    assert processes.wait_until(gone, 10)
    assert not Path(f"/proc/{cluster_pid}").exists()
    PrivateCluster(tmp_path / "postgres", keep=False).start().stop()


def test_redis_wants_its_password_refuses_to_forget_and_keeps_its_port(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        client = redis.Redis.from_url(server.url)
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "no"}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)).ping()
        url = server.url
        kill(server)
        assert server.start().url == url
        assert redis.Redis.from_url(url).ping()
        pid = server.pid
    assert not Path(f"/proc/{pid}").exists()
