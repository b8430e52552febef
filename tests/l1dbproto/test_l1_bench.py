"""The measurements run, in miniature, and tell what they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def told(*words: object) -> str:
    command = [sys.executable, "-m", "bench.visits", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_compare_tells_every_stage(tmp_path: Path, backend: str) -> None:
    size = ["--sources", 60, "--visits", 9]
    text = told("compare", "--backend", backend, *size, "--apdb-python", tmp_path / "none", "--out", tmp_path)
    stages = {line.split()[0]: float(line.split()[1]) for line in text.splitlines()[1:6]}
    assert list(stages) == ["read_obj", "read_src", "read_fsrc", "store", "total"]
    assert all(seconds > 0 for seconds in stages.values())
    assert "microseconds a row" in text
    assert (tmp_path / f"ours_{backend}_60.json").exists()


def test_wide_rows_are_measured_too(tmp_path: Path) -> None:
    text = told("compare", "--backend", "sqlite", "--sources", 30, "--visits", 6, "--wide", "--apdb-python", "none")
    assert "total" in text


def test_prefill_compares_sizes() -> None:
    lines = told("prefill", "--rows", "100,2000", "--sources", 60, "--visits", 6).splitlines()
    assert [int(line.split()[0]) for line in lines] == [100, 2000]
    assert "+0.0%" in lines[0]


def test_a_survey_runs_unattended_to_its_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install '.[l1]')")
    text = told("survey", "--sources", 30, "--visits", 4, "--footprint", "30,-20,1", "--out", tmp_path)
    assert "4 visits in" in text
    assert {path.suffix for path in tmp_path.iterdir()} == {".jsonl", ".png", ".svg"}
