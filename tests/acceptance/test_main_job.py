"""The main job through the doors people use: the command line, the stack's workers, and caveclient."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.acceptance.conftest import matengine
from tests.docs.pages import blocks
from tests.docs.playing import ANY_SERVER
from tests.harness import SYNAPSE_MAPPING
from tests.oracle import same_partition

DAYS = {45: "2026-02-15", 0: "2026-01-01", 61: "2026-03-03", 15: "2026-01-16", 30: "2026-01-31"}


def run(stack: Path, *words: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(matengine(stack, "run", *words, "--wait", "--json").stdout)
    return record


def test_em512_through_command_line_and_caveclient(
    stack: Path, em512: Path, tmp_path: Path, ask: Callable[..., Any]
) -> None:
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps(SYNAPSE_MAPPING))
    matengine(stack, "world", "load", str(em512), "--datastack", "real")
    columns = str(em512 / "annotations/synapses")
    words = ("--schema", "synapse", "--path", columns, "--mapping", str(mapping), "--created", "2026-01-01")
    assert run(stack, "bulk-upload", "real", "synapses", *words)["status"] == "SUCCEEDED"
    truth = np.load(em512 / "truth/supervoxels.npy").astype(np.int64)
    for day, moment in DAYS.items():
        record = run(stack, "complete", "real", "--timestamp", moment, "--expires-in-days", "0")
        ask("real", "roots", record["version"], tmp_path / "found.npy")
        found = np.load(tmp_path / "found.npy")
        assert (found[:, :2] == truth).all()
        assert same_partition(found[:, 2:], np.load(em512 / f"truth/object_day{day:02}.npy")), f"day {day}"
        assert (found[:, 2:] == 0).sum() == 200


def test_what_a_first_session_with_caveclient_asks(stack: Path, em512: Path, ask: Callable[..., Any]) -> None:
    answer = ask("real", "everything", 2)
    assert sorted(answer["versions"]) == [1, 2, 3, 4, 5]
    assert answer["tables"] == ["synapses"]
    assert (answer["schema"], answer["count"]) == ("synapse", 40_000)
    assert answer["timestamp"].startswith("2026-01-01T00:00:00")
    assert answer["roots"] == 1
    assert answer["boxed"] >= 1
    assert answer["graph_agrees"]
    assert answer["selected"] == ["id", "size"]


def test_the_demo_tells_what_it_did(stack: Path, client_python: Path) -> None:
    told = matengine(stack, "demo", "--dir", str(stack), "--client-python", str(client_python)).stdout
    for sentence in (
        "version 1 is available",
        "edits applied",
        "have another root id",
        "caveclient finds them",
        "pip install",
    ):
        assert sentence in told


def test_what_the_readme_asks_the_demo(stack: Path, client_python: Path) -> None:
    (block,) = [block for block in blocks("python") if block.page.name == "README.md"]
    server = json.loads(matengine(stack, "stack", "status", "--json").stdout)["server"]
    asked = [str(client_python), "-c", block.text.replace(ANY_SERVER, server)]
    environ = {**os.environ, "HOME": str(stack)}
    told = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=stack, env=environ, timeout=120)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout.split()[-1]) > 0


def test_a_datastack_made_while_the_service_runs_takes_annotations_at_once(
    stack: Path, small_world: Path, ask: Callable[..., Any]
) -> None:
    assert ask("real", "volume_tables") == ["synapses"]
    matengine(stack, "world", "load", str(small_world), "--datastack", "newcomer")
    assert ask("newcomer", "volume_tables") == []


def test_exit_codes(stack: Path) -> None:
    assert matengine(stack, "run", "freeze", "no_such_datastack", check=False).returncode == 2
    assert matengine(stack, "run", "dummy", "--wait").returncode == 0
    plan = json.loads(matengine(stack, "run", "dummy", "--dry-run").stdout)
    assert [step["name"] for step in plan["steps"]] == ["first", "second"]
    runs = json.loads(matengine(stack, "runs", "--json").stdout)
    assert {"dummy"} <= {record["kind"] for record in runs}
    shown = json.loads(matengine(stack, "runs", runs[0]["id"], "--json").stdout)
    assert shown["progress"] == 1.0
