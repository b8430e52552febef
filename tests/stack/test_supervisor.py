"""Keeping servers alive, with processes that do nothing else."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from materializationengine.kernel.processes import ServerError, wait_until
from materializationengine.stack.child import Child
from materializationengine.stack.supervisor import Policy, Service, Supervisor

from .watch import alive

SWIFT = Policy(first=0.05, longest=0.4, forget=60.0, patience=10.0)


def service(folder: Path, name: str, script: str, **more: object) -> Service:
    log = folder / f"{name}.log"
    child = Child(
        [sys.executable, "-c", script],
        environment=lambda: dict(os.environ),
        folder=folder,
        log=log,
        patience=1.0,
    )
    return Service(name, child, log=log, **more)  # type: ignore[arg-type]


SLEEP = "import time; time.sleep(600)"
WITH_CHILD = f"""
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", {SLEEP!r}]).pid, flush=True)
time.sleep(600)
"""


def test_a_killed_service_comes_back_and_its_children_do_not_stay(tmp_path: Path) -> None:
    one = service(tmp_path, "one", WITH_CHILD, ready=lambda: bool((tmp_path / "one.log").read_text()))
    supervisor = Supervisor([one], SWIFT)
    with supervisor.running():
        grandchild = int((tmp_path / "one.log").read_text())
        first = one.server.pid
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: supervisor.tend() or False, 5)
        assert one.server.pid != first
        assert one.server.running
        assert wait_until(lambda: not alive(grandchild), 5)
    assert not one.server.running


def test_waits_between_restarts_grow(tmp_path: Path) -> None:
    one = service(tmp_path, "one", SLEEP)
    supervisor = Supervisor([one], SWIFT)
    waits = []
    with supervisor.running():
        for _ in range(4):
            os.kill(one.server.pid, signal.SIGKILL)
            assert wait_until(lambda: not one.server.running, 5)
            began = time.monotonic()
            assert wait_until(supervisor.tend, 5, 0.005)
            waits.append(time.monotonic() - began)
    assert waits == pytest.approx([0.05, 0.1, 0.2, 0.4], abs=0.09)
    assert waits[3] > 4 * waits[0]


def test_without_restart_a_fallen_service_stays_down(tmp_path: Path) -> None:
    one, two = service(tmp_path, "one", SLEEP), service(tmp_path, "two", SLEEP)
    supervisor = Supervisor([one, two], Policy(restart=False, first=0.01))
    with supervisor.running():
        os.kill(one.server.pid, signal.SIGKILL)
        assert not wait_until(supervisor.tend, 0.5)
        assert list(supervisor.pids()) == ["two"]


def test_a_service_that_keeps_falling_fails_the_start_with_its_last_words(tmp_path: Path) -> None:
    other = service(tmp_path, "other", SLEEP)
    broken = service(tmp_path, "broken", "raise SystemExit('no such table')", ready=lambda: False, tier=1)
    supervisor = Supervisor([other, broken], Policy(first=0.01))
    with (
        pytest.raises(ServerError, match=r"(?s)broken does not start.*no such table") as caught,
        supervisor.running(),
    ):
        pass
    assert str(tmp_path / "broken.log") in str(caught.value)
    assert not other.server.running


def test_a_service_that_never_gets_ready_is_named(tmp_path: Path) -> None:
    slow = service(tmp_path, "slow", SLEEP, ready=lambda: False)
    with (
        pytest.raises(ServerError, match="slow not ready after 0 s"),
        Supervisor([slow], Policy(patience=0.3)).running(),
    ):
        pass
    assert not slow.server.running


def test_tiers_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    script = "import signal, sys, time\ndef end(*_): print('end', time.monotonic(), flush=True); sys.exit()\n"
    script += "signal.signal(signal.SIGTERM, end); print('up', time.monotonic(), flush=True); time.sleep(600)"

    def said(name: str) -> list[float]:
        log = tmp_path / f"{name}.log"
        return [float(line.split()[1]) for line in log.read_text().splitlines()] if log.exists() else []

    services = [
        service(tmp_path, name, script, tier=tier, ready=lambda name=name: bool(said(name)))
        for name, tier in (("late", 1), ("early", 0))
    ]
    with Supervisor(services, SWIFT).running():
        assert said("early")[0] < said("late")[0]
    assert said("late")[1] < said("early")[1]


def test_a_process_deaf_to_signals_is_killed_in_the_end(tmp_path: Path) -> None:
    deaf = "import signal, time\nfor s in (signal.SIGTERM, signal.SIGQUIT): signal.signal(s, signal.SIG_IGN)\n"
    one = service(tmp_path, "one", deaf + "print('up', flush=True); time.sleep(600)")
    one.ready = lambda: bool((tmp_path / "one.log").read_text())
    with Supervisor([one], SWIFT).running():
        pid = one.server.pid
    assert not alive(pid)
