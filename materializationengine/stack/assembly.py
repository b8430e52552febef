"""Which servers make a stack, on which sockets, with which settings."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg2
import redis

from ..kernel.postgres import PrivateCluster, with_database
from ..kernel.redis import PrivateRedis
from . import programs
from .child import Child
from .info import Layout, StackInfo
from .supervisor import Service

HOME_DATABASE = "materialize"
MARK = "STACK_FOLDER"
"""Variable by which a stack recognizes its own processes; the engine's settings do not know it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen about a stack.

    Parameters
    ----------
    workers, concurrency
        Worker processes, and units each of them works on at once.
    restart
        Whether a fallen process is started again.
    durable
        False: faster commits of a private database, unsafe at a power cut.
    """

    workers: int = 1
    concurrency: int = 2
    restart: bool = True
    durable: bool = True


class Assembly:
    """The services of one stack. Binds their sockets at once, so that their addresses stay when they fall.

    `SQLALCHEMY_DATABASE_URI` and `REDIS_URL` in `environ` name servers that exist; for each of them that is
    absent there is a private one.
    """

    def __init__(self, layout: Layout, environ: Mapping[str, str], options: Options) -> None:
        self._layout = layout
        self._environ = environ
        self._options = options
        self._closing = contextlib.ExitStack()
        self._cluster: PrivateCluster | None = None
        self._broker: PrivateRedis | None = None

    def __enter__(self) -> Self:
        layout = self._layout
        ports = _read_ports(layout.ports)
        self._web = self._closing.enter_context(_listen(ports.get("web", 0)))
        self._cave = self._closing.enter_context(_listen(ports.get("localcave", 0)))
        layout.ports.write_text(json.dumps({"web": _port(self._web), "localcave": _port(self._cave)}))
        if not self._environ.get("SQLALCHEMY_DATABASE_URI"):
            durable = self._options.durable
            self._cluster = PrivateCluster(layout.postgres, durable=durable, log=layout.log("postgres"))
        if not self._environ.get("REDIS_URL"):
            self._broker = PrivateRedis(layout.redis, log=layout.log("redis"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def info(self, pids: Mapping[str, int]) -> StackInfo:
        """Addresses; the private servers must be running."""
        postgres = self._environ.get("SQLALCHEMY_DATABASE_URI", "")
        if self._cluster is not None:
            postgres = with_database(self._cluster.url, HOME_DATABASE)
        return StackInfo(
            server=f"http://127.0.0.1:{_port(self._web)}",
            postgres=postgres,
            redis=self._environ.get("REDIS_URL", "") if self._broker is None else self._broker.url,
            localcave=f"http://127.0.0.1:{_port(self._cave)}",
            dir=str(self._layout.folder),
            pids=dict(pids),
        )

    def services(self) -> list[Service]:
        """All services: data in tier 0, everything that needs data in tier 1."""
        return [*self._data(), *self._neighbors(), *self._engine()]

    def _data(self) -> list[Service]:
        found = []
        if self._cluster is not None:
            cluster = self._cluster
            found.append(Service("postgres", cluster, ready=lambda: _has_home_database(cluster.url), log=cluster.log))
        if self._broker is not None:
            found.append(Service("redis", self._broker, log=self._broker.log))
        return found

    def _neighbors(self) -> list[Service]:
        number = self._cave.fileno()
        command = programs.localcave(
            self._layout.localcave, "--fd", str(number), public_url=f"http://127.0.0.1:{_port(self._web)}"
        )
        port = _port(self._cave)
        child = self._child("localcave", command, inherit=number)
        return [Service("localcave", child, lambda: _answers(port, "/localcave/worlds"), 1, child.log)]

    def _engine(self) -> list[Service]:
        number, port = self._web.fileno(), _port(self._web)
        web = self._child("web", programs.web(f"fd://{number}"), inherit=number)
        found = [Service("web", web, lambda: _answers(port, "/health/live"), 1, web.log)]
        for k in range(1, self._options.workers + 1):
            name = f"worker{k}"
            worker = self._child(name, programs.worker(name, concurrency=self._options.concurrency))
            found.append(Service(name, worker, self._workers_listen, 1, worker.log))
        beat = self._child("beat", programs.beat(self._layout.run))
        return [*found, Service("beat", beat, beat.spoke, 1, beat.log)]

    def _child(self, name: str, arguments: list[str], inherit: int | None = None) -> Child:
        return Child(
            [sys.executable, *arguments],
            environment=self._variables,
            folder=self._layout.run,
            log=self._layout.log(name),
            inherit=inherit,
        )

    def _variables(self) -> dict[str, str]:
        own = self.info({}).environment()
        if self._broker is None and self._environ.get("CELERY_BROKER_URL"):
            own["CELERY_BROKER_URL"] = self._environ["CELERY_BROKER_URL"]
        return {**self._environ, **own, MARK: str(self._layout.folder), "PYTHONUNBUFFERED": "1"}

    def _workers_listen(self) -> bool:
        """Whether as many clients as we have workers wait at Redis for messages.

        Asking Celery itself costs a second of both cores; a waiting worker stands in a blocking pop.
        """
        # Its types do not tell this client from the asynchronous one.
        client: Any = redis.Redis.from_url(self._variables()["CELERY_BROKER_URL"])
        try:
            waiting = [c for c in client.client_list() if c["cmd"].lower() == "brpop"]
        except redis.RedisError:
            return False
        finally:
            client.close()
        return len(waiting) >= self._options.workers


def _read_ports(path: Path) -> dict[str, int]:
    """Ports of the last time: whoever noted the address of the stack finds it there again if it is free."""
    try:
        return {str(name): int(port) for name, port in json.loads(path.read_text()).items()}
    except (OSError, ValueError):
        return {}


def _listen(preferred: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", preferred))
        listener.listen(512)
    except OSError:
        listener.close()
        if preferred:
            return _listen(0)
        raise
    return listener


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _answers(port: int, path: str) -> bool:
    """Whether something serves HTTP there and does not call itself broken."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _has_home_database(url: str) -> bool:
    """Make the engine's home database in a new cluster; True when it is there."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", (HOME_DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {HOME_DATABASE}")
    finally:
        connection.close()
    return True
