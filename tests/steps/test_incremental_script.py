"""The scripts of 2019 as processes: their arguments, their exit codes, and the version they make."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from materializationengine.domain.plan import RunKind
from materializationengine.kernel.postgres import PrivateCluster
from tests.harness import Engine
from tests.steps.test_incremental import day, digests

pytestmark = pytest.mark.faults  # minutes long: run by `make test-faults`

ROOT = Path(__file__).parents[2]


def script(stage: int, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One script, run to its end, without broker and workers."""
    command = [sys.executable, str(ROOT / f"scripts/incremental_materialize_stage{stage}.py"), *args]
    path = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, env={**os.environ, **path, **environ}, capture_output=True, text=True, timeout=300, check=False
    )


def test_both_scripts_make_and_mend_a_version(
    engine: Engine, postgres: PrivateCluster, small_world: Path, datastack: str
) -> None:
    environ = {"MATERIALIZATION_POSTGRES_URI": postgres.url, "LOCAL_SERVER_URL": engine.neighbors.url}
    environ["MATERIALIZATION_AS_OF_MARGIN"] = "0"
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    base = engine.run(RunKind.COMPLETE, datastack, as_of=day(20)).version
    full = engine.run(RunKind.COMPLETE, datastack, as_of=day(40)).version
    named = ("--dataset_name", datastack, "--base_version", str(base))
    made = script(3, *named, "--time_stamp", day(40).isoformat(), "--n_threads", "1", **environ)
    assert made.returncode == 0, made.stderr
    assert "merge: 2000 rows" in made.stdout and "SUCCEEDED: version 3" in made.stdout
    assert digests(engine, datastack, 3) == digests(engine, datastack, full)
    mended = script(2, *named, "--version", "3", "--phases", "4", **environ)
    assert mended.returncode == 0, mended.stderr
    wrong = script(3, *named, "--time_stamp", day(1).isoformat(), **environ)
    assert wrong.returncode == 2
    assert "lies before" in wrong.stderr and "Traceback" not in wrong.stderr
    other = script(3, *named, "--cg_table_id", "another", **environ)
    assert other.returncode == 2 and f"is bound to {datastack}_pcg" in other.stderr


@pytest.mark.parametrize(("stage", "own"), [(2, "--version"), (3, "--time_stamp")])
def test_help_tells_every_argument_of_2019_with_its_default(stage: int, own: str) -> None:
    told = " ".join(script(stage, "--help").stdout.split())
    known = (
        "dataset_name",
        "cg_table_id",
        "cg_instance_id",
        "amdb_instance_id",
        "base_version",
        "n_threads",
        "sql_uri",
    )
    assert all(f"--{name}" in told for name in known) and own in told
    assert "(default: pinky100)" in told and "(default: pychunkedgraph)" in told
    assert f"(default: {({2: 25, 3: 4})[stage]})" in told


def test_without_a_server_the_script_says_what_to_set() -> None:
    answer = script(3, "--base_version", "1")
    assert answer.returncode == 2 and "MATERIALIZATION_POSTGRES_URI" in answer.stderr
