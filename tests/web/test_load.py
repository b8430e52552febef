"""Fifty clients at once before the web process as the stack runs it: no fault of ours, and bounded memory."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from materializationengine.stack import programs
from materializationengine.storage.engines import Cluster

from . import frozen

LONG, DOWNLOAD, CLIENTS = 600_000, 200_000, 50
MOST_MB = 400
STACK = f"/materialize/api/v3/datastack/{frozen.DATASTACK}"
DOWNLOADS = f"{STACK}/version/1/table/marks/query"
POINTS = f"{STACK}/version/1/table/synapses/query"
METADATA = [f"{STACK}/versions", f"{STACK}/metadata", f"{STACK}/version/1/tables", f"{STACK}/version/1/tables/metadata"]
DATABASE = f"{frozen.DATASTACK}__mat1"


class Web:
    """Gunicorn with the stack's own words."""

    def __init__(self, process: subprocess.Popen[bytes], address: str) -> None:
        self.process, self.address = process, address

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=120)

    def peaks(self) -> list[float]:
        """The most memory of each of its processes, MB."""
        tree = [self.process.pid]
        tree += map(int, Path(f"/proc/{tree[0]}/task/{tree[0]}/children").read_text().split())
        lines = [line for pid in tree for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]


@pytest.fixture(scope="module")
def web(database_url: str, datastacks_file: str, rows: frozen.Rows, cluster: Cluster) -> Iterator[Web]:
    """The process, and a version with a long table in it."""
    insert = (
        f"INSERT INTO marks SELECT 1000 + i, true, ST_MakePoint(i, i, i), true, i FROM generate_series(1, {LONG}) i"
    )
    _execute(cluster, insert)
    environ = {
        "SQLALCHEMY_DATABASE_URI": database_url,
        "DATASTACKS_FILE": datastacks_file,
        "AUTH_DISABLED": "true",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "LOGGING_LEVEL": "WARNING",
    }
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(128)
        command = [sys.executable, *programs.web(f"fd://{bound.fileno()}")]
        process = subprocess.Popen(command, env={**os.environ, **environ}, pass_fds=[bound.fileno()])
        address = f"127.0.0.1:{bound.getsockname()[1]}"
    yield Web(process, address)
    process.terminate()
    process.wait(timeout=30)
    _execute(cluster, "DELETE FROM marks WHERE id > 1000")
    _execute(cluster, "VACUUM marks")


def _execute(cluster: Cluster, statement: str) -> None:
    with closing(cluster.raw(DATABASE)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)


class Crowd:
    """Clients that ask in a loop until told to stop, each over a connection of its own."""

    def __init__(self, web: Web, clients: int) -> None:
        self._web, self._over = web, threading.Event()
        self.statuses: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.faults: list[str] = []
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(clients)]

    def run(self, seconds: float) -> None:
        for thread in self._threads:
            thread.start()
        time.sleep(seconds)
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=120)

    def _client(self, number: int) -> None:
        dice = random.Random(number)
        try:
            with closing(self._web.connect()) as connection:
                while not self._over.is_set():
                    self._ask(connection, dice)
        except (OSError, http.client.HTTPException) as error:
            self.faults.append(repr(error))

    def _ask(self, connection: http.client.HTTPConnection, dice: random.Random) -> None:
        kind = dice.choices(["point", "metadata", "download"], [80, 15, 5])[0]
        if kind == "metadata":
            connection.request("GET", dice.choice(METADATA))
        else:
            root = {"synapses": {"pre_pt_root_id": frozen.BIG + dice.randrange(20)}}
            body = {"limit": DOWNLOAD} if kind == "download" else {"filter_equal_dict": root}
            path = DOWNLOADS if kind == "download" else POINTS
            headers = {"Content-Type": "application/json", "Accept-Encoding": "zstd"}
            connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        while answer.read(1 << 18):
            pass
        self.statuses[answer.status] += 1
        self.kinds[kind] += 1


def _crowd(web: Web, seconds: float) -> Crowd:
    crowd = Crowd(web, CLIENTS)
    crowd.run(seconds)
    print(f"{sum(crowd.statuses.values())} answers {dict(crowd.kinds)}, peaks {web.peaks()} MB, load {os.getloadavg()}")
    assert not crowd.faults
    assert set(crowd.statuses) == {200}
    assert min(crowd.kinds[kind] for kind in ("point", "metadata", "download")) > 0
    assert max(web.peaks()) < MOST_MB
    return crowd


def test_a_crowd_is_served_without_a_fault(web: Web) -> None:
    _crowd(web, 8)


@pytest.mark.bench
def test_a_crowd_is_served_for_a_minute(web: Web) -> None:
    _crowd(web, 60)


def test_clients_that_are_killed_free_their_connections(web: Web, cluster: Cluster) -> None:
    gone = [web.connect() for _ in range(6)]
    for connection in gone:
        connection.request("POST", DOWNLOADS, "{}", {"Content-Type": "application/json"})
    answers = [connection.getresponse() for connection in gone]
    for answer in answers:
        answer.read(1000)
    assert _running(cluster) > 0
    for answer, connection in zip(answers, gone, strict=True):
        answer.close()
        connection.close()
    deadline = time.monotonic() + 20
    while _running(cluster) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _running(cluster) == 0
    with closing(web.connect()) as connection:
        connection.request("GET", METADATA[0])
        assert connection.getresponse().status == 200


def _running(cluster: Cluster) -> int:
    """Statements on the version that have not ended."""
    with closing(cluster.raw()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active'", (DATABASE,))
        ((count,),) = cursor.fetchall()
        return int(count)
