"""What breaks is seen: real processes are killed, stopped, filled and refused, and each shows within half a minute."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.processes import free_port
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.stack import programs
from tests.gateways.servers import Answer, Loopback, Request, serving
from tests.harness import Neighbors
from tests.workflows.workers import ROOT, kill_all, worker

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

VISIBLE = 30.0
"""Seconds within which everything must show."""

STACK = "watched"
TOKEN = "the-engines-own-token"
DISK, RESERVE = 1500, 0.8
"""MB of the disk under the database, and GB of it that must stay free."""


@dataclass
class Service:
    """A whole service in processes of its own."""

    environ: dict[str, str]
    url: str
    log: Path
    graph: Loopback
    redis: PrivateRedis
    disk: Path
    crew: contextlib.ExitStack
    seen: dict[str, float] = field(default_factory=dict)

    def hire(self) -> subprocess.Popen[bytes]:
        """Start the worker."""
        return self.crew.enter_context(worker(self.environ, self.log, concurrency=1))

    def reds(self) -> tuple[set[str], set[str]]:
        """Red checks of the service and of the datastack, as /health tells them; /metrics must agree."""
        told = requests.get(f"{self.url}/health", timeout=30).json()
        service = {name for name, light in told["service"].items() if light.startswith("red")}
        stack = {
            name
            for name, light in told["datastacks"].get(STACK, {"checks": {}})["checks"].items()
            if light[:3] == "red"
        }
        assert told["status"] in (("red",) if service else ("green", "yellow"))
        return service, stack

    def zeros(self) -> tuple[set[str], set[str]]:
        """The same as /metrics tells it."""
        text = requests.get(f"{self.url}/metrics", timeout=30).text
        families = {family.name: family.samples for family in text_string_to_metric_families(text)}
        service = {s.labels["check"] for s in families["matengine_check"] if s.value == 0}
        stack = families.get("matengine_datastack_check", [])
        return service, {s.labels["check"] for s in stack if s.value == 0 and s.labels["datastack"] == STACK}

    def doctor(self) -> tuple[int, set[str]]:
        """Exit code, and the checks that failed."""
        command = [sys.executable, "-m", "materializationengine.cli", "doctor", STACK, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **self.environ})
        assert TOKEN not in done.stdout + done.stderr
        found = json.loads(done.stdout)
        assert all(each["fix"] for each in found if each["light"] == "red")
        return done.returncode, {each["check"] for each in found if each["light"] == "red"}

    def wait(self, service: set[str], stack: set[str]) -> float:
        """Seconds until health and metrics show exactly these as red."""
        started = time.monotonic()
        while (said := (self.reds(), self.zeros())) != ((service, stack), (service, stack)):
            assert time.monotonic() - started < VISIBLE, said
            time.sleep(0.2)
        return time.monotonic() - started


def _pass_on(neighbors: Neighbors) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        url = neighbors.url + request.raw_path
        told = requests.request(request.method, url, params=request.query, data=request.body, timeout=30)
        return Answer(told.status_code, told.content, {"Content-Type": told.headers["Content-Type"]})

    return answer


@contextmanager
def _small_disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="matengine-disk-", dir="/var/tmp"))
    folder.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("a small disk can be mounted by root alone")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def _web(environ: dict[str, str], port: int, log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        command = [sys.executable, *programs.web(f"127.0.0.1:{port}")]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environ}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield
        finally:
            kill_all(process)


@pytest.fixture
def service(neighbors: Neighbors, small_world: Path, tmp_path: Path) -> Iterator[Service]:
    neighbors.worlds.load(small_world, STACK, None)
    (tmp_path / "token.json").write_text(json.dumps({"token": TOKEN}))
    port = free_port()
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(_small_disk())
        cluster = stack.enter_context(PrivateCluster(disk / "cluster", durable=False))
        redis = stack.enter_context(PrivateRedis(tmp_path / "redis"))
        graph = stack.enter_context(serving(_pass_on(neighbors)))
        environ = {
            "SQLALCHEMY_DATABASE_URI": cluster.url,
            "REDIS_URL": redis.url,
            "LOCAL_SERVER_URL": neighbors.url,
            "PCG_SERVER_URL": graph.url,
            "DAF_CREDENTIALS": str(tmp_path / "token.json"),
            "MATERIALIZATION_DISK_RESERVE": str(RESERVE),
            "AUTH_DISABLED": "true",
        }
        stack.enter_context(_web(environ, port, tmp_path / "web.log"))
        crew = stack.enter_context(contextlib.ExitStack())
        made = Service(environ, f"http://127.0.0.1:{port}", tmp_path / "worker.log", graph, redis, disk, crew)
        made.hire()
        _until_it_answers(made.url)
        yield made


def _until_it_answers(url: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/health/live", timeout=5).ok:
                return
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_each_thing_that_breaks_shows_within_half_a_minute_and_nothing_else_does(service: Service) -> None:
    _until_green(service)
    for name, play, of_service, of_stack in (
        ("a killed worker", _kill, {"workers"}, set()),
        ("a stopped Redis", _stop_redis, {"redis"}, set()),
        ("a broken graph", _break_graph, set(), {"graph"}),
        ("a full disk", _fill, {"disk"}, set()),
        ("an expired token", _expire, set(), {"token"}),
    ):
        with play(service):  # type: ignore[operator]
            service.seen[name] = service.wait(of_service, of_stack)
            assert service.doctor() == (2, of_service | of_stack), name
        _until_green(service)
    print({name: round(seconds, 1) for name, seconds in service.seen.items()})
    for log in ("web.log", "worker.log"):
        assert TOKEN not in (service.log.parent / log).read_text()


def _until_green(service: Service) -> None:
    deadline = time.monotonic() + 120
    while service.reds() != (set(), set()):
        assert time.monotonic() < deadline, service.reds()
        time.sleep(0.5)


@contextmanager
def _kill(service: Service) -> Iterator[None]:
    service.crew.close()
    yield
    service.hire()


@contextmanager
def _stop_redis(service: Service) -> Iterator[None]:
    service.redis.stop()
    yield
    service.redis.start()


@contextmanager
def _break_graph(service: Service) -> Iterator[None]:
    service.graph.always = Answer.of({"message": "overloaded"}, 503)
    yield
    service.graph.always = None


@contextmanager
def _fill(service: Service) -> Iterator[None]:
    room = os.statvfs(service.disk)
    filler = service.disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - int(RESERVE * 1e9) + 50_000_000)
    yield
    filler.unlink()


@contextmanager
def _expire(service: Service) -> Iterator[None]:
    service.graph.always = Answer.of({"error": "invalid_token"}, 401)
    yield
    service.graph.always = None
