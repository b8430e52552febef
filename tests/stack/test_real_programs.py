"""The stack with its real programs: how a pool, a web worker and local CAVE behave when someone pulls the plug."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from materializationengine.kernel.processes import wait_until
from materializationengine.stack import Stack, StackInfo, locate
from materializationengine.stack.assembly import Options
from materializationengine.stack.custody import all_gone
from materializationengine.stack.info import Layout
from materializationengine.stack.launcher import down, remove, up

from .watch import alive


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    folder = tmp_path_factory.mktemp("real") / "stack"
    with Stack(folder, Options(durable=False), _environ(), keep=False) as info:
        yield info


def _environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("SQLALCHEMY_DATABASE_URI", "REDIS_URL", "MATENGINE_DIR")}


def _children(pid: int) -> set[int]:
    return {int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()}


def _status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return int(answer.status)


def test_one_address_serves_the_engine_and_its_neighbors(info: StackInfo) -> None:
    for path in ("/health/live", "/info/api/v2/datastacks", "/segmentation/api/versions", "/schema/versions"):
        assert _status(info.server + path) == 200, path


@pytest.mark.parametrize("name", ["worker1", "web"])
def test_a_killed_pool_leaves_no_children_and_comes_back(name: str, info: StackInfo) -> None:
    before = locate(info.dir).pids[name]
    children = _children(before)
    assert children
    os.kill(before, signal.SIGKILL)
    assert wait_until(lambda: not any(map(alive, children)), 10)
    assert wait_until(lambda: locate(info.dir).pids.get(name, before) != before, 20)
    assert wait_until(lambda: len(_children(locate(info.dir).pids[name])) == len(children), 20)
    assert _status(info.server + "/health/live") == 200


def test_a_killed_supervisor_takes_every_process_along_and_a_new_one_takes_over(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "stack")
    first = up(layout, Options(durable=False), _environ())
    try:
        assert up(layout, Options(durable=False), _environ()) == first
        os.kill(int(layout.lock.read_text()), signal.SIGKILL)
        assert wait_until(lambda: all_gone(layout), 10)
        assert wait_until(lambda: not any(map(alive, first.pids.values())), 5)
        second = up(layout, Options(durable=False), _environ())
        assert second.server == first.server
        assert _status(second.server + "/health/live") == 200
    finally:
        down(layout)
        remaining = all_gone(layout)
        remove(layout)
    assert remaining
