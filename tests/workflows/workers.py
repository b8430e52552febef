"""Real worker processes for tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from materializationengine.domain.records import RunRecord
from materializationengine.storage.run_records import find_run
from tests.harness import Engine

ROOT = Path(__file__).parents[2]
APP = "materializationengine.workflows.app:celery"
CRASHING_APP = "tests.workflows.crashing_app:celery"


@contextmanager
def worker(
    environ: Mapping[str, str], log: Path, app: str = APP, concurrency: int = 2
) -> Iterator[subprocess.Popen[bytes]]:
    """One worker with its children, in a process group of its own; killed at the end."""
    queues = "--queues=celery,process,workflow"
    command = [sys.executable, "-m", "celery", f"--app={app}", "worker", "--pool=prefork", queues, "-Ofair"]
    options = [f"--concurrency={concurrency}", "--without-gossip", "--without-mingle", "--loglevel=INFO"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, *options],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill_all(process)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """kill -9 a worker and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(engine: Engine, run_id: str, seconds: float) -> RunRecord:
    """The record of a run when it is over."""
    deadline = time.monotonic() + seconds
    while not (record := find_run(engine.services.cluster, run_id, units=True)).status.over:
        if time.monotonic() > deadline:
            raise AssertionError(f"run {run_id} is not over after {seconds} s: {record.to_json()}")
        time.sleep(0.1)
    return record
