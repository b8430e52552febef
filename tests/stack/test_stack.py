"""A whole stack on real databases, with stand-ins for the programs: start, find, fall, rise, end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
import redis
from click.testing import CliRunner

from materializationengine.config import Settings
from materializationengine.kernel.postgres import normalize
from materializationengine.kernel.processes import ServerError, wait_until
from materializationengine.stack import Stack, StackInfo, StackNotRunning, described, locate
from materializationengine.stack.assembly import Options
from materializationengine.stack.commands import stack as commands
from materializationengine.stack.custody import all_gone
from materializationengine.stack.info import Layout
from materializationengine.stack.launcher import remove

from . import fakes
from .watch import alive

QUICK = Options(durable=False)
SERVICES = {"postgres", "redis", "localcave", "web", "worker1", "beat"}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**_bare(), "PYTHONPATH": str(fakes.write(tmp_path / "fakes"))}


def _bare() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("SQLALCHEMY_DATABASE_URI", "REDIS_URL", "MATENGINE_DIR")}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "stack"
    yield folder
    _command("down", folder, _bare(), "--remove-data")
    assert not folder.exists()


def _command(verb: str, folder: Path, environ: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    code = "from materializationengine.stack.commands import stack; stack()"
    words = [sys.executable, "-c", code, verb, "--dir", str(folder), *more]
    return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=100)


def _said(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_up_tells_where_everything_is_and_down_leaves_nothing(folder: Path, environ: dict[str, str]) -> None:
    first = _command("up", folder, environ, "--json", "--no-durable")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert set(told) == {"server", "postgres", "redis", "localcave", "dir", "pids"}
    assert set(told["pids"]) == SERVICES
    assert _said(told["server"] + "/health/live").startswith("web ")
    assert _said(told["localcave"]).startswith("localcave ")
    assert redis.Redis.from_url(told["redis"]).ping()
    psycopg2.connect(told["postgres"]).close()
    assert told["postgres"].endswith("/materialize")
    assert (folder / "stack.json").stat().st_mode & 0o777 == 0o600
    assert {log.stem for log in (folder / "logs").iterdir()} == SERVICES | {"supervisor"}

    again = _command("up", folder, environ, "--json")
    assert json.loads(again.stdout) == told
    shown = _command("status", folder, environ)
    assert shown.returncode == 0
    assert told["server"] in shown.stdout
    assert told["postgres"].split(":")[2].partition("@")[0] not in shown.stdout

    assert _command("down", folder, environ).returncode == 0
    assert all_gone(Layout(folder))
    assert not any(map(alive, told["pids"].values()))
    absent = _command("status", folder, environ)
    assert absent.returncode == 1
    assert "matengine stack up" in absent.stderr


def test_its_environment_is_what_the_settings_want(folder: Path, environ: dict[str, str]) -> None:
    with Stack(folder, QUICK, environ) as info:
        settings = Settings.from_env(info.environment())
        assert described(info.environment()) == replace(info, postgres=normalize(info.postgres), pids={})
        assert described({**info.environment(), "LOCALCAVE_URL": ""}) is None
        assert (settings.local_server, settings.localcave_url) == (info.server, info.localcave)
        assert settings.as_of_margin == 0
        assert settings.auth_disabled
        assert settings.broker == info.redis
        environment = Path(f"/proc/{info.pids['worker1']}/environ").read_bytes().decode().split("\0")
        given = dict(line.partition("=")[::2] for line in environment if line)
        assert Settings.from_env(given) == settings


def test_data_and_address_outlive_the_stack(folder: Path, environ: dict[str, str]) -> None:
    with Stack(folder, QUICK, environ) as info:
        connection = psycopg2.connect(info.postgres)
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 9007199254740993 AS id")
        connection.close()
    with pytest.raises(StackNotRunning, match="no stack runs"):
        locate(folder)
    with Stack(folder, QUICK, environ) as again:
        assert again.server == info.server
        connection = psycopg2.connect(again.postgres)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM kept")
            assert cursor.fetchone() == (9007199254740993,)
        connection.close()


@pytest.mark.parametrize("name", ["worker1", "web", "localcave", "beat", "redis", "postgres"])
def test_whatever_is_killed_comes_back_at_its_address(name: str, shared: StackInfo) -> None:
    before = locate(shared.dir)
    os.kill(before.pids[name], signal.SIGKILL)

    def risen() -> bool:
        return locate(shared.dir).pids.get(name, before.pids[name]) != before.pids[name]

    assert wait_until(risen, 15)
    after = locate(shared.dir)
    assert (after.server, after.redis, after.postgres) == (before.server, before.redis, before.postgres)
    assert wait_until(lambda: _works(after), 15)


def _works(info: StackInfo) -> bool:
    try:
        psycopg2.connect(info.postgres).close()
        waiting = [c for c in redis.Redis.from_url(info.redis).client_list() if c["cmd"] == "brpop"]
        return len(waiting) == 1 and _said(info.server).startswith("web") and bool(_said(info.localcave))
    except (psycopg2.Error, redis.RedisError, OSError):
        return False


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    folder = tmp_path_factory.mktemp("shared")
    environ = {**_bare(), "PYTHONPATH": str(fakes.write(folder / "fakes"))}
    with Stack(folder / "stack", QUICK, environ, keep=False) as info:
        home = (folder / "stack" / "postgres").resolve()
        yield info
    assert not home.exists()
    assert not (folder / "stack").exists()


@pytest.mark.parametrize("victim", ["supervisor", "launcher"])
def test_a_crash_of_the_owner_leaves_nothing(victim: str, folder: Path, environ: dict[str, str]) -> None:
    script = (
        "import sys, time; from materializationengine.stack import Stack\n"
        "from materializationengine.stack.assembly import Options\n"
        f"with Stack({str(folder)!r}, Options(durable=False)): print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], env=environ, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "up\n"
        supervisor = int((folder / "supervisor.lock").read_text())
        os.kill(supervisor if victim == "supervisor" else launcher.pid, signal.SIGKILL)
        # The stand-in worker's own child, unlike a real pool's, does not die with it; the next start or `down` ends it.
        most = 1 if victim == "supervisor" else 0
        assert wait_until(lambda: len(_left(folder)) <= most, 15), _left(folder)
        assert _command("down", folder, environ).returncode == 0
        assert _left(folder) == []
        launcher.kill()
    with Stack(folder, QUICK, environ) as info:
        assert _works(info)


def _left(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                mine = str(folder).encode() in (entry / "environ").read_bytes()
                inside = str(folder) in os.readlink(entry / "cwd") or os.readlink(entry / "cwd").startswith(
                    str((folder / "postgres").resolve())
                )
                if mine or inside or any(str(folder).encode() in word for word in words):
                    found.append(b" ".join(words).decode())
            except OSError:
                continue
    return [command for command in found if "with Stack(" not in command]


def test_two_stacks_side_by_side_do_not_meet(folder: Path, environ: dict[str, str], shared: StackInfo) -> None:
    with Stack(folder, QUICK, environ) as info:
        assert not set(info.pids.values()) & set(locate(shared.dir).pids.values())
        assert _works(info)
        assert len({info.server, info.localcave, shared.server, shared.localcave}) == 4
    assert wait_until(lambda: _works(locate(shared.dir)), 15)


def test_existing_servers_are_used(folder: Path, environ: dict[str, str], shared: StackInfo) -> None:
    given = {**environ, "SQLALCHEMY_DATABASE_URI": shared.postgres, "REDIS_URL": shared.redis}
    with Stack(folder, QUICK, given) as info:
        assert set(info.pids) == SERVICES - {"postgres", "redis"}
        assert (info.postgres, info.redis) == (shared.postgres, shared.redis)
    assert not (folder / "postgres").exists()
    assert wait_until(lambda: _works(locate(shared.dir)), 15)


def test_a_joined_stack_goes_on_running(shared: StackInfo) -> None:
    with Stack(shared.dir) as joined:
        assert joined.server == shared.server
    assert locate(shared.dir).server == shared.server


def test_a_program_that_fails_is_named_and_nothing_stays(tmp_path: Path, folder: Path) -> None:
    path = fakes.write(tmp_path / "fakes", gunicorn="raise SystemExit('no module named nonsense')")
    with pytest.raises(ServerError, match=r"(?s)web does not start.*no module named nonsense"):
        Stack(folder, QUICK, {**_bare(), "PYTHONPATH": str(path)}).__enter__()
    assert all_gone(Layout(folder))


def test_data_of_a_running_stack_are_not_removed(shared: StackInfo) -> None:
    with pytest.raises(ServerError, match="matengine stack down"):
        remove(Layout(shared.dir))
    assert wait_until(lambda: _works(locate(shared.dir)), 15)


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(commands, ["up", "--dir", str(tmp_path / "file" / "stack")])
    assert result.exit_code == 1
    assert "choose another --dir" in result.output
    assert "Traceback" not in result.output


def test_foreground_stays_until_it_is_interrupted(folder: Path, environ: dict[str, str]) -> None:
    code = "from materializationengine.stack.commands import stack; stack()"
    words = [sys.executable, "-c", code, "up", "--dir", str(folder), "--json", "--foreground", "--no-durable"]
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert wait_until(lambda: (folder / "stack.json").exists(), 20)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(said[: said.rindex("}") + 1])["dir"] == str(folder)
    assert all_gone(Layout(folder))
