"""The examples, run in their order as they stand, on the stack; what they print is what they promise."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.acceptance.conftest import ROOT, matengine

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples are run; they leave their world here."""
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def server(stack: Path) -> str:
    return str(json.loads(matengine(stack, "stack", "status", "--json").stdout)["server"])


@pytest.fixture(scope="module")
def environ(stack: Path, server: str, folder: Path) -> dict[str, str]:
    """What a person has who activated `.venv`, and whose stack is up."""
    words = [str(Path(sys.executable).parent), os.environ["PATH"]]
    known = {"MATENGINE_DIR": str(stack), "CAVE_SERVER": server, "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    return {**os.environ, **known, "PATH": os.pathsep.join(words), "COLUMNS": "200"}


def run(command: list[str], folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def number(pattern: str, text: str) -> int:
    """The whole number that a pattern catches; the text must have it."""
    found = re.search(pattern, text)
    assert found is not None, f"{pattern!r} in:\n{text}"
    return int(found[1])


def test_1_first_version(folder: Path, environ: dict[str, str]) -> None:
    told = run(["bash", str(EXAMPLES / "1_first_version.sh")], folder, environ)
    assert "AVAILABLE" in told


def test_2_query_a_version(folder: Path, environ: dict[str, str], client_python: Path, server: str) -> None:
    told = run([str(client_python), str(EXAMPLES / "2_query_a_version.py"), server], folder, environ)
    assert "version 1 is true of 2026-01-31 00:00 UTC" in told
    assert number(r"synapses: (\d+)", told) == 2000
    both = number(r"(\d+) synapses connect two neurons", told)
    strong = number(r"(\d+) of its synapses are larger", told)
    assert 0 < strong < both < 2000
    assert 0 < number(r"(\d+) synapses lie in the first corner", told) < 2000


def test_3_follow_a_merge(folder: Path, environ: dict[str, str], client_python: Path, server: str) -> None:
    told = run([str(client_python), str(EXAMPLES / "3_follow_a_merge.py"), server], folder, environ)
    assert "run SUCCEEDED, version 2" in told
    before = number(r"in version 1: (\d+)", told)
    assert before > 0
    assert before == number(r"in version 2: (\d+)", told)


def test_4_live_query(folder: Path, environ: dict[str, str], client_python: Path, server: str) -> None:
    told = run([str(client_python), str(EXAMPLES / "4_live_query.py"), server], folder, environ)
    assert number(r"outputs of \d+: (\d+) in version 2", told) == 0
    live = number(r"in version 2, (\d+) at", told)
    then = number(r"just before: (\d+)", told)
    assert 0 < then <= live
    assert then == number(r"of which (\d+) are now", told)


def test_5_incremental_version(folder: Path, environ: dict[str, str]) -> None:
    told = run(["bash", str(EXAMPLES / "5_incremental_version.sh"), "2"], folder, environ)
    assert len(re.findall("AVAILABLE", told)) == 3


def test_6_l1_visit(folder: Path, environ: dict[str, str]) -> None:
    told = run([sys.executable, str(EXAMPLES / "6_l1_visit.py"), str(folder / "l1")], folder, environ)
    stored = [int(rows) for rows in re.findall(r"(\d+) versions of objects", told)]
    assert 0 < stored[0] < stored[1]
    assert number(r"(\d+) were seen in both visits", told) > 0


def test_the_notebook_runs(
    folder: Path, environ: dict[str, str], client_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = folder / "jupyter/kernels/caveclient/kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [str(client_python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "caveclient", "language": "python"}))
    for name, value in {**environ, "JUPYTER_PATH": str(folder / "jupyter")}.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="caveclient").execute(cwd=str(folder))
    last = notebook.cells[-1].outputs[-1]["data"]["text/plain"]
    assert re.search(r"\d+ outputs of the merged neuron", last), last


def test_the_notebook_holds_no_outputs() -> None:
    cells = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4).cells
    assert not [cell for cell in cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]


def test_every_example_is_named_in_their_list() -> None:
    listed = set(re.findall(r"^\| \[(\S+)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert listed == {path.name for path in EXAMPLES.iterdir()} - {"README.md"}
