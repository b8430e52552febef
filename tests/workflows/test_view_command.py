"""`matengine view`: defined from a file, refreshed, dropped, and refused with exit code 2."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from materializationengine.cli import main
from materializationengine.domain.plan import RunKind
from materializationengine.kernel import moments
from tests.harness import Engine

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    return datastack


def command(engine: Engine, *words: str) -> Result:
    environ = {"SQLALCHEMY_DATABASE_URI": engine.services.cluster.url, "LOCAL_SERVER_URL": engine.neighbors.url}
    return CliRunner().invoke(main, ["view", *words], env=environ)


def test_a_view_from_a_file_to_a_version(engine: Engine, stack: str, tmp_path: Path) -> None:
    file = tmp_path / "large.sql"
    file.write_text("SELECT id, size FROM synapses WHERE size > 0 -- all that have a size\n")
    options = ("--sql", str(file), "--description", "large ones", "--live", "--materialized")
    made = command(engine, "create", stack, "large", *options)
    assert made.exit_code == 0, made.output
    assert command(engine, "create", stack, "large", *options).exit_code == 2
    assert command(engine, "refresh", stack, "large").exit_code == 0
    record = engine.run(RunKind.COMPLETE, stack, as_of=BIRTH + timedelta(days=3))
    with engine.services.cluster.connect(f"{stack}__mat{record.version}") as connection:
        assert connection.value("SELECT count(*) FROM large") == 2_000
        assert connection.one("SELECT description, notice_text FROM analysisviews") == ("large ones", None)
    assert command(engine, "drop", stack, "large").exit_code == 0
    gone = command(engine, "refresh", stack, "large")
    assert gone.exit_code == 2 and "no view 'large'" in gone.output


def test_a_definition_that_is_wrong_is_told_in_one_line(engine: Engine, stack: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.sql"
    file.write_text("SELECT siez FROM synapses")
    told = command(engine, "create", stack, "wrong", "--sql", str(file), "--description", "d")
    assert told.exit_code == 2 and 'column "siez" does not exist' in told.output and len(told.output.splitlines()) == 1
