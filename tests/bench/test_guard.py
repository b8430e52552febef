"""The guard: it fails on what became worse beside its floor, and looks at ratios alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.figures import Figure, summarize
from bench.guard import limit, worsened

ROOT = Path(__file__).parents[2]
ROWS = 500


def measured(*ratios: float, floor: float = 1.0, rows: int = 1000) -> list[Figure]:
    return [Figure("freeze", rows, ratio * floor, floor) for ratio in ratios]


def kept(*ratios: float) -> dict[str, Any]:
    return {"commit": "abc", "parts": [asdict(one) for one in summarize(measured(*ratios))]}


def test_what_is_equal_passes_on_a_machine_ten_times_slower() -> None:
    assert worsened(kept(1.8, 2.0, 2.4), summarize(measured(1.8, 2.0, 2.4, floor=10.0))) == {}


def test_one_quiet_round_is_enough_since_noise_only_makes_worse() -> None:
    assert worsened(kept(1.8, 2.0, 2.4), summarize(measured(9.0, 8.0, 2.3))) == {}


def test_what_is_worse_in_every_round_is_named_with_its_ratios() -> None:
    found = worsened(kept(1.8, 2.0, 2.4), summarize(measured(3.4, 4.0, 5.0)))
    assert found == {
        "freeze": "freeze at 1,000 rows: at best 3.4 times the floor, where 3.2 may be; abc had 2, at most 2.4"
    }


def test_rounds_that_lay_far_apart_leave_more_room() -> None:
    assert limit(kept(2.0, 2.0, 2.0)["parts"][0]) == pytest.approx(3.2)
    assert limit(kept(2.0, 2.0, 4.0)["parts"][0]) == pytest.approx(5.0)


def test_what_was_not_kept_at_this_size_says_nothing() -> None:
    assert worsened(kept(0.1), summarize(measured(30.0, rows=5))) == {}


def bench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "quick", f"--rows={ROWS}", "--rounds=2", "--only=roots", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kept measurement of one section."""
    found = tmp_path_factory.mktemp("history")
    done = bench("--folder", found)
    assert done.returncode == 0, done.stderr
    return found


def changed(folder: Path, change: Callable[[float], float]) -> None:
    (path,) = folder.glob("*-quick.json")
    document = json.loads(path.read_text())
    for part in document["parts"]:
        part |= {name: change(part[name]) for name in ("ratio", "lowest", "highest")}
    path.write_text(json.dumps(document))


def test_the_command_passes_beside_an_equal_file_and_keeps_nothing(folder: Path) -> None:
    changed(folder, lambda ratio: 10 * ratio)
    done = bench("--guard", "--folder", folder)
    changed(folder, lambda ratio: ratio / 10)
    assert done.returncode == 0, done.stderr
    assert "no part is worse" in done.stdout
    assert len(list(folder.iterdir())) == 1


def test_the_command_fails_beside_a_better_file_after_a_second_look(folder: Path) -> None:
    changed(folder, lambda ratio: ratio / 10)
    done = bench("--guard", "--folder", folder)
    changed(folder, lambda ratio: ratio * 10)
    assert done.returncode == 1
    assert "worse at first look" in done.stderr
    assert "Error: root look-up at 500 rows: at best" in done.stderr
    # Measured twice, two rounds each.
    assert done.stdout.count("root look-up, 500:") == 4


def test_without_a_kept_file_the_command_says_what_to_do(tmp_path: Path) -> None:
    done = bench("--guard", "--folder", tmp_path)
    assert done.returncode == 1
    assert "run `make bench-quick`" in done.stderr


def test_the_build_service_runs_the_guard() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/materialization-engine.yml").read_text())["jobs"]
    assert {"run": "make bench-guard"} in jobs["bench-guard"]["steps"]
    planned = subprocess.run(["make", "-n", "bench-guard"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert "-m bench quick --guard" in planned


def test_a_figure_can_be_kept_and_read_again() -> None:
    one = replace(measured(2.0)[0], steps={"a": 1.0})
    assert Figure(**json.loads(json.dumps(asdict(one)))) == one
