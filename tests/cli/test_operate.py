"""The operator's commands, on a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from materializationengine.cli import main
from materializationengine.domain.plan import RunKind
from materializationengine.kernel import moments
from tests.harness import Engine

DAY1 = moments.parse("2026-01-02T00:00:00+00:00")
Command = Callable[..., Any]


@pytest.fixture
def command(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`matengine`, with a broker that is down: a sweeper would send what it loses."""
    settings = engine.services.settings
    environ = {
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "LOCAL_SERVER_URL": settings.local_server,
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    monkeypatch.delenv("MATENGINE_DIR", raising=False)

    def run(*words: str, code: int = 0, **more: str) -> Any:
        done = CliRunner().invoke(main, [*words], env={**environ, **more})
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if "--json" in words else done.output

    return run


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    """Two versions of the world's synapses."""
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, DAY1)
    for _ in range(2):
        engine.run(RunKind.FREEZE, datastack, as_of=DAY1)
    return datastack


def versions(command: Command, stack: str) -> dict[int, tuple[str, str | None]]:
    rows = command("versions", stack, "--json")
    return {row["version"]: (row["status"], row["expires_on"]) for row in rows}


def test_the_life_of_a_version_is_a_persons_to_set(command: Command, stack: str) -> None:
    command("versions", stack, "1", "--expires", "2026-02-01")
    assert versions(command, stack)[1][1] == "2026-02-01T00:00:00+00:00"
    command("versions", stack, "2", "--expires", "never")
    assert versions(command, stack)[2] == ("AVAILABLE", None)
    command("versions", stack, "1", "--pin")
    listed = {row["version"]: row["pinned"] for row in command("versions", stack, "--json")}
    assert listed == {1: True, 2: False} and command("versions", stack).count("(pinned)") == 1
    assert "unpin it first" in command("versions", stack, "1", "--drop", code=2)
    command("versions", stack, "1", "--unpin", "--drop")
    assert versions(command, stack)[1][0] == "EXPIRED" and "pinned" not in command("versions", stack)
    assert "EXPIRED" in command("versions", stack, "1", "--pin", code=2)
    assert "number of a version" in command("versions", stack, "--drop", code=2)


def test_a_dry_run_tells_what_it_takes_and_writes_nothing(engine: Engine, command: Command, stack: str) -> None:
    printed = json.loads(command("run", "complete", stack, "--dry-run", "--timestamp", DAY1.isoformat()))
    expected = printed["estimate"]
    assert (expected["tables"], expected["rows"]) == (1, 2_000)
    assert expected["units"] > 5 and expected["graph_calls"] == 1
    assert 0 < expected["bytes"] < expected["free"]
    assert len(versions(command, stack)) == 2


def test_a_plan_that_does_not_fit_the_disk_is_refused_before_it_starts(command: Command, stack: str) -> None:
    full = {"MATERIALIZATION_DISK_RESERVE": "1e9"}
    for words in (["--dry-run"], []):
        told = command("run", "freeze", stack, "--timestamp", DAY1.isoformat(), *words, code=2, **full)
        assert "MATERIALIZATION_DISK_RESERVE" in told
    assert len(versions(command, stack)) == 2


def test_runs_are_cancelled_retried_and_resumed(command: Command, stack: str) -> None:
    run = command("run", "freeze", stack, "--json", "--timestamp", DAY1.isoformat())["id"]
    assert command("runs", run, "--cancel", "--json")["status"] == "CANCELLED"
    assert command("runs", run, "--resume", "--json")["status"] == "RUNNING"
    assert run in command("run", "freeze", stack, code=2)
    command("runs", run, "--cancel")
    again = command("runs", run, "--retry", "--json")
    assert (again["status"], again["id"] == run, again["timestamp"]) == ("RUNNING", False, DAY1.isoformat())
    assert "needs the id" in command("runs", "--cancel", code=2)


def test_pause_tells_what_is_paused(command: Command, stack: str) -> None:
    paused = command("pause", stack, "--reason", "upgrade", "--wait", "--json")
    assert [(each["scope"], each["reason"], each["at_work"]) for each in paused] == [(stack, "upgrade", 0)]
    assert "nothing is paused" in command("unpause", stack)


def test_what_schedules_did_is_listed(command: Command) -> None:
    found = command("schedules", "never heard of", "--json")
    assert found == []


def test_retire_plans_every_live_database(command: Command, stack: str) -> None:
    printed = json.loads(command("run", "retire", "--keep", "3", "--dry-run"))
    decided = {unit["args"]["database"]: unit["args"]["keep"] for unit in printed["steps"][0]["units"]}
    assert decided[f"{stack}_volume"] == 3
    assert datetime.fromisoformat(printed["as_of"]) <= datetime.now(UTC)
