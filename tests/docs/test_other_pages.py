"""The pages of local CAVE and of the L1 wing, typed along: each stands on its own, without the engine's stack."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from materializationengine.kernel.processes import free_port
from tests.docs.pages import ROOT, blocks, commands
from tests.docs.playing import CLIENT, Terminal, pieces, reworded

LOCALCAVE = ROOT / "docs/localcave.md"
L1 = ROOT / "docs/l1db"
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_local_cave_is_started_and_asked(tmp_path: Path) -> None:
    if not CLIENT.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(".venv-caveclient is missing; `make setup-clients`")
        pytest.skip(".venv-caveclient is missing; `make setup-clients`")
    address = f"127.0.0.1:{free_port()}"
    making, serving = (reworded(line, {"8001": address[10:]}) for line in commands(LOCALCAVE)[:2])
    subprocess.run(shlex.split(making), cwd=tmp_path, env=ENVIRON, check=True, capture_output=True, timeout=120)
    command = [sys.executable, *shlex.split(serving)[1:]]
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRON, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and address in process.stdout.readline()
            with Terminal(tmp_path) as terminal:
                told = [piece.text for piece in pieces(LOCALCAVE) if piece.language == "python"]
                for text in told:
                    terminal.tell(text.replace("127.0.0.1:8001", address))
                assert (
                    terminal.tell("print(counts['edits'] > 0, len(roots), int(roots[0]) >> 56 > 1)") == "True 1 True\n"
                )
        finally:
            process.terminate()


def test_the_l1_wing_is_run_and_its_database_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = [block for block in blocks("sh") if block.page == L1 / "index.md"]
    # Fewer visits than on the page: it is the words that are tried.
    script = reworded(first.text, {"--num-visits 50": "--num-visits 3"})
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=ENVIRON, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "visits.png").stat().st_size > 1000
    (asking,) = [block for block in blocks("python") if block.page == L1 / "database.md"]
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(compile(asking.text, asking.name, "exec"), found)
    assert len(found["objects"]) > 0  # type: ignore[arg-type]
