"""The whole service in processes that a case may kill, stop and start again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import redis as redis_client

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.kernel.urls import libpq
from materializationengine.stack.programs import QUEUES
from materializationengine.workflows.celery_app import EngineCelery, create_celery
from tests.faults.proxy import FaultProxy
from tests.harness import Engine, Neighbors

ROOT = Path(__file__).parents[2]
WORKERS = 2
LEASE = 15.0
TINY = "tiny"
"""A tablespace on a small file system of its own."""

TINY_SIZE = "32k"

TIMES = {
    "MATERIALIZATION_AS_OF_MARGIN": "0",
    "MATERIALIZATION_LEASE": str(LEASE),
    "MATERIALIZATION_SWEEP_EVERY": "0.3",
    "MATERIALIZATION_RESEND": "1",
    "MATERIALIZATION_RETRY_DELAY": "0.2",
    "MATERIALIZATION_GRAPH_TIMEOUT": "2",
    "MATERIALIZATION_BEAT_EVERY": "0.5",
    "MATERIALIZATION_BEAT_RETRY": "2",
    "MATERIALIZATION_UPLOAD_BATCH": "250",
    "MATERIALIZATION_INGEST_BATCH": "250",
    "MATERIALIZATION_LOOKUP_BATCH": "60",
}


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait for something; returns it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
    return found


class Plant:
    """PostgreSQL, Redis, a proxy before local CAVE, two workers; beat and web where a case needs them."""

    def __init__(self, folder: Path, neighbors: Neighbors) -> None:
        self.folder, self.neighbors = folder, neighbors
        self.gates = folder / "gates"
        self.schedules = folder / "schedules.json"
        # What was committed must survive a crash of the server, as it does in a service; the disk itself is trusted.
        settings = {"synchronous_commit": "on", "full_page_writes": "on"}
        self.cluster = PrivateCluster(folder / "cluster", durable=False, settings=settings, keep=False)
        self.redis = PrivateRedis(folder / "redis")
        self.proxy = FaultProxy(neighbors.url)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @contextmanager
    def running(self) -> Iterator[Plant]:
        """The plant, for as long as the block lasts."""
        self.gates.mkdir()
        self.schedules.write_text("[]")
        with self.cluster, self.redis, self.proxy:
            self.engine = Engine(Services(Settings.from_env(self.environ), "tests"), self.neighbors)
            self.celery: EngineCelery = create_celery(Settings.from_env(self.environ))
            try:
                self.start_workers()
                yield self
            finally:
                for name in list(self._processes):
                    self.kill(name)
                self.engine.services.close()
                self._remove_tiny()

    @property
    def environ(self) -> dict[str, str]:
        """What every process is told."""
        return {
            "SQLALCHEMY_DATABASE_URI": self.cluster.url,
            "REDIS_URL": self.redis.url,
            "LOCAL_SERVER_URL": self.proxy.url,
            "AUTH_DISABLED": "true",
            "BEAT_SCHEDULES": str(self.schedules),
            "GATE_FOLDER": str(self.gates),
            **TIMES,
        }

    # Processes

    def start_workers(self) -> None:
        """Start those workers that are not alive, and wait until they listen."""
        for number in range(WORKERS):
            self._start(f"worker{number}", _worker_command(number))
        until(lambda: self._listening() >= WORKERS, "workers listen")

    def _listening(self) -> int:
        """A worker that waits for messages stands in a blocking pop at Redis."""
        try:
            return sum(c["cmd"].lower() == "brpop" for c in self.broker().client_list())
        except redis_client.RedisError:
            return 0

    def start_beat(self, name: str = "beat") -> None:
        """Start a beat."""
        options = ["--pidfile=", "--loglevel=INFO"]
        self._start(name, ["-m", "celery", "--app=tests.faults.gated_worker:celery", "beat", *options])

    def start_web(self) -> str:
        """Start the web server and wait until it answers; its address."""
        with closing(socket.create_server(("127.0.0.1", 0))) as found:
            port = found.getsockname()[1]
        options = ["--worker-class=gthread", "--threads=4", "--no-control-socket", f"--bind=127.0.0.1:{port}"]
        self._start("web", ["-m", "gunicorn", *options, "tests.faults.gated_web:application"])
        until(lambda: _answers(port), "web answers")
        return f"http://127.0.0.1:{port}"

    def _start(self, name: str, command: Sequence[str]) -> None:
        if name in self._processes and self._processes[name].poll() is None:
            return
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, **self.environ, "PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """kill -9 a process and its children."""
        process = self._processes.pop(name, None)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill_workers(self) -> None:
        """kill -9 all workers."""
        for name in [name for name in self._processes if name.startswith("worker")]:
            self.kill(name)

    def name_of(self, group: int) -> str:
        """The process that leads a process group."""
        return next(name for name, process in self._processes.items() if process.pid == group)

    # Servers

    def broker(self) -> redis_client.Redis:
        """Redis, as a client."""
        return redis_client.Redis.from_url(self.redis.url)

    def restart_postgres(self, how: signal.Signals) -> None:
        """Shut PostgreSQL down, with clients in it, and start it again on the same port."""
        os.kill(self.cluster.pid, how)
        until(lambda: not self.cluster.running, "PostgreSQL is down")
        self.cluster.start()

    def rows(self, statement: str, *values: object, database: str | None = None) -> list[tuple[Any, ...]]:
        """Rows of a statement in autocommit."""
        address = libpq(self.cluster.url, database=database) if database else libpq(self.cluster.url)
        with closing(psycopg2.connect(address)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall()) if cursor.description else []

    # A disk that is full

    @property
    def may_mount(self) -> bool:
        """Whether a small file system can be made."""
        if os.geteuid() != 0:
            return False
        self._tiny.mkdir(mode=0o755, exist_ok=True)
        return self._tiny.is_mount() or subprocess.run(self._mount, check=False, capture_output=True).returncode == 0

    @property
    def _mount(self) -> list[str]:
        return ["mount", "-t", "tmpfs", "-o", f"size={TINY_SIZE}", "tmpfs", str(self._tiny)]

    def use_tiny_disk(self) -> None:
        """Put every new table on the small file system; `may_mount` has made it."""
        if not self.rows("SELECT 1 FROM pg_tablespace WHERE spcname = %s", TINY):
            self._make_tiny()
        self.room_on_tiny_disk(TINY_SIZE)
        self.rows(f"ALTER ROLE postgres SET default_tablespace = {TINY}")

    def use_large_disk(self) -> None:
        """Put new tables where they belong again."""
        self.rows("ALTER ROLE postgres RESET default_tablespace")

    def room_on_tiny_disk(self, size: str) -> None:
        """Make the small file system larger, or as small as it was."""
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self._tiny)], check=True)

    @property
    def _tiny(self) -> Path:
        return Path("/var/tmp") / f"matengine-{self.folder.name}-{os.getpid()}"

    def _make_tiny(self) -> None:
        inner = self._tiny / "space"
        inner.mkdir(mode=0o700)
        owner = self.cluster.data.stat()
        os.chown(inner, owner.st_uid, owner.st_gid)
        self.rows(f"CREATE TABLESPACE {TINY} LOCATION '{inner}'")

    def _remove_tiny(self) -> None:
        if self._tiny.exists():
            self.cluster.stop()
            subprocess.run(["umount", "--lazy", str(self._tiny)], check=False)
            shutil.rmtree(self._tiny, ignore_errors=True)


def _worker_command(number: int) -> list[str]:
    options = ["--pool=prefork", f"--queues={','.join(QUEUES)}", "-Ofair", "--concurrency=2", "--loglevel=INFO"]
    name = f"--hostname=worker{number}@%h"
    return [
        *("-m", "celery", "--app=tests.faults.gated_worker:celery", "worker"),
        *(*options, name, "--without-gossip", "--without-mingle"),
    ]


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
        return True
    return False
