"""The ways in: `python setup.py install`, `make`, and the scripts behind it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_SHIPPED = {"tests", "bench"}
PACKAGES = [path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in NOT_SHIPPED]


def _python(version: str) -> str:
    """An interpreter of that version that really runs: a version manager's shim may not."""
    places = [f"python{version}", *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    for place in [sys.executable, *places]:
        try:
            asked = subprocess.run(
                [place, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
            )
        except FileNotFoundError:
            continue
        if asked.stdout.strip() == version:
            return place
    pytest.skip(f"no Python {version} on this machine")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of what is packaged, so that building leaves no traces in the checkout."""
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.mark.parametrize("version", ["3.11", "3.12"])
def test_setup_py_install_installs_the_package_by_pip(version: str, source: Path, tmp_path: Path) -> None:
    subprocess.run([_python(version), "-m", "venv", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    # The dependencies, two hundred megabytes, are left out by an instruction to pip, not by setup.py.
    installed = subprocess.run(
        [str(python), "setup.py", "install"],
        cwd=source,
        env={**os.environ, "PIP_NO_DEPS": "1"},
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr
    asked = subprocess.run(
        [str(python), "-c", _DESCRIBE, *PACKAGES], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    told = json.loads(asked.stdout)
    assert told["version"] == _version()
    assert {"flask", "celery", "sqlalchemy", "pyarrow"} <= set(told["requires"])
    assert all(str(tmp_path / "env") in place for place in told["places"])
    assert (tmp_path / "env" / "bin" / "matengine").exists()


_DESCRIBE = """
import importlib.util, importlib.metadata as m, json, re, sys
d = m.distribution("materializationengine")
names = [re.match("[A-Za-z0-9-]+", r)[0].lower() for r in d.requires]
places = [importlib.util.find_spec(p).origin for p in sys.argv[1:]]
print(json.dumps({"version": d.version, "requires": names, "places": places}))
"""


def _version() -> str:
    found = re.search(r'__version__ = "(.*)"', (ROOT / "materializationengine" / "__init__.py").read_text())
    assert found is not None
    return found[1]


def test_setup_py_install_passes_on_that_pip_failed(source: Path) -> None:
    failed = subprocess.run(
        [sys.executable, "setup.py", "install", "--no-such-option"],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 2
    assert "--no-such-option" in failed.stderr


def _make(*words: str) -> str:
    """What make prints; a make that runs these tests must not show through."""
    environ = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "--no-print-directory", *words]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout


def test_make_help_names_every_target_of_the_design() -> None:
    said = _make("help")
    told = set(re.findall(r"^  make ([a-z-]+)", said, re.MULTILINE))
    setting_up = {"help", "setup", "setup-clients"}
    checking = {"test", "test-faults", "lint", "types", "docs", "audit", "coverage"}
    measuring = {"bench", "bench-quick", "bench-guard"}
    assert told == setting_up | checking | measuring | {"demo", "up", "down", "lock"}


def test_the_build_machine_runs_make_test_last_so_that_its_closing_line_is_seen() -> None:
    planned = _make("-n", "test")
    lines = [line for line in planned.splitlines() if line.strip()]
    order = ["setup.sh", "setup-clients.sh", "ruff check", "lint-imports", "pytest tests"]
    places = [next(i for i, line in enumerate(lines) if word in line) for word in order]
    assert places == sorted(places)
    assert places[-1] == len(lines) - 1
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")


def _common(script: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-euo", "pipefail", "-c", f"source {ROOT}/scripts/common.sh; {script}"]
    return subprocess.run(words, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True)


def test_an_environment_is_made_once_and_again_when_its_list_changes(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("")
    script = f"FRESH=yes environment .venv-x {sys.executable} list.txt -r list.txt"
    first = _common(script, tmp_path)
    assert first.returncode == 0, first.stderr
    assert "making .venv-x" in first.stderr
    left = tmp_path / ".venv-x" / "left-behind"
    left.touch()
    assert _common(script, tmp_path).stderr == ""
    assert left.exists()
    (tmp_path / "list.txt").write_text("# changed\n")
    assert "making .venv-x" in _common(script, tmp_path).stderr
    assert not left.exists()


def test_an_installation_that_failed_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("./no-such-folder\n")
    script = f"environment .venv-x {sys.executable} list.txt -r list.txt"
    for _ in range(2):
        tried = _common(script, tmp_path)
        assert tried.returncode != 0
        assert "making .venv-x" in tried.stderr
        assert "no-such-folder" in tried.stderr
    assert not (tmp_path / ".venv-x" / ".stamp").exists()


def test_a_shim_that_does_not_run_is_not_taken_for_a_python(tmp_path: Path) -> None:
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\necho 'command not found' >&2; exit 127\n")
    shim.chmod(0o755)
    good = tmp_path / "python3.11"
    good.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    good.chmod(0o755)
    found = _common("find_python", tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}", PYTHON="")
    assert found.stdout.strip() == str(good)


@pytest.fixture
def machine_without_redis(tmp_path: Path) -> Path:
    """A folder of commands like this machine's, only without Redis and sudo, owned by nobody special."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in os.get_exec_path():
        for command in Path(place).iterdir() if Path(place).is_dir() else ():
            if command.name not in ("redis-server", "sudo", "id") and not (folder / command.name).exists():
                (folder / command.name).symlink_to(command)
    (folder / "id").write_text("#!/bin/sh\necho 1000\n")
    (folder / "id").chmod(0o755)
    return folder


def test_without_permission_the_missing_packages_are_named(machine_without_redis: Path) -> None:
    said = subprocess.run(
        ["bash", str(ROOT / "scripts" / "setup.sh")],
        env={**os.environ, "PATH": str(machine_without_redis)},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 1
    by_apt = "As root: apt-get install --no-install-recommends redis-server\n"
    by_hand = "Install PostgreSQL 15 or newer with PostGIS, redis-server and Python 3.11 or newer.\n"
    assert said.stderr == "setup: missing: redis. " + (by_apt if shutil.which("apt-get") else by_hand)


def test_pinned_environments_are_pinned_to_the_last_package() -> None:
    lists = list((ROOT / "tests" / "environments").glob("*.txt"))
    assert {path.stem for path in lists} >= {"caveclient", "legacy"}
    for path in lists:
        for line in path.read_text().splitlines():
            assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line), (path, line)
    client = (ROOT / "tests" / "environments" / "caveclient.txt").read_text()
    assert "caveclient==8.2.1" in client
    assert re.search(r"^pandas==2\.", client, re.MULTILINE)
