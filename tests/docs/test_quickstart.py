"""The quickstart, typed along: every `matengine` line of it on a real stack, then its Python on the real client."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, commands

PAGE = ROOT / "docs/quickstart.md"
CLIENT = ROOT / ".venv-caveclient/bin/python"
ALONG = Path(__file__).with_name("typing_along.py")


def type_lines(lines: list[str], folder: Path) -> str:
    """Carry out lines; returns what they print."""
    done = subprocess.run(
        [sys.executable, str(ALONG)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder in which the quickstart's lines were typed, and what they printed."""
    folder = tmp_path_factory.mktemp("quickstart")
    (mapping,) = [block for block in blocks("json") if block.page == PAGE]
    (folder / "mapping.json").write_text(mapping.text, encoding="utf-8")
    try:
        yield folder, type_lines([line for line in commands(PAGE) if line.startswith("matengine ")], folder)
    finally:
        type_lines(["matengine stack down --remove-data"], folder)


def test_the_commands_make_two_versions(typed: tuple[Path, str]) -> None:
    _, printed = typed
    assert len(re.findall(r"complete \w{12}: SUCCEEDED, version [12]", printed)) == 2
    assert len(re.findall(r"AVAILABLE", printed)) == 2


def test_the_client_sees_what_changed(typed: tuple[Path, str], tmp_path: Path) -> None:
    if not CLIENT.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(".venv-caveclient is missing; `make setup-clients`")
        pytest.skip(".venv-caveclient is missing; `make setup-clients`")
    folder, _ = typed
    server = json.loads((folder / ".matengine/stack.json").read_text(encoding="utf-8"))["server"]
    (program,) = [block for block in blocks("python") if block.page == PAGE]
    text = program.text.replace("http://127.0.0.1:8000", server)
    assert text != program.text
    done = subprocess.run(
        [str(CLIENT), "-c", text],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"(\d+) of 2000 presynaptic ends have a new root id", done.stdout)
    assert found is not None, done.stdout
    assert 0 < int(found[1]) < 2000
