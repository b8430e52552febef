"""What stays of a measurement that fails, is interrupted, or cannot be made here."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bench import kept, sections
from bench.figures import Detail, Figure
from bench.sections import Task
from bench.skipped import Skipped

NOW = datetime(2026, 11, 3, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def document(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_every_figure_is_on_disk_as_soon_as_it_is_known(tmp_path: Path) -> None:
    record = kept.Record("full", tmp_path, NOW)
    record.add("engine", Figure("freeze", 1000, 6.0, 3.0))
    assert [(part["part"], part["ratio"]) for part in document(tmp_path)["parts"]] == [("freeze", 2.0)]
    record.add("engine", Figure("freeze", 10_000, 60.0, 30.0), growth=True)
    found = document(tmp_path)
    assert (len(found["parts"]), found["growth"][0]["rows"], found["exponents"][0]["ours"]) == (1, 10_000, 1.0)
    assert not found["complete"]
    record.finish()
    assert document(tmp_path)["complete"]


def test_a_section_that_fails_is_named_and_what_came_before_stays(tmp_path: Path) -> None:
    record = kept.Record("quick", tmp_path, NOW)
    record.add("engine", Figure("freeze", 1000, 6.0, 3.0))
    sections.measure(Task("roots", -5, 1), record)
    record.finish()
    found = document(tmp_path)
    assert [part["part"] for part in found["parts"]] == ["freeze"]
    assert "Error" in found["failed"]["roots"]
    assert not found["complete"]


def test_the_command_fails_loudly_where_a_section_does(tmp_path: Path) -> None:
    words = ["quick", "--rows=-5", "--rounds=1", "--only=roots", f"--folder={tmp_path}"]
    done = subprocess.run([sys.executable, "-m", "bench", *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "Error: not measured: roots" in done.stderr
    assert "Traceback" in done.stderr


def test_an_interrupted_measurement_keeps_its_figures_and_leaves_nothing_running(tmp_path: Path) -> None:
    words = ["quick", "--rows=500", "--rounds=100000", "--only=roots", f"--folder={tmp_path}"]
    # Whatever is started in the background ignores an interrupt, and its children do.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "bench", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert "root look-up" in process.stdout.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode != 0
    assert document(tmp_path)["parts"][0]["part"] == "root look-up"
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(int(child), 0)


def test_one_section_is_made_anew_beside_what_is_kept_of_the_same_commit(tmp_path: Path) -> None:
    record = kept.Record("full", tmp_path, NOW)
    for section, part in (("engine", "freeze"), ("reads", "point query")):
        record.add(section, Figure(part, 1000, 6.0, 3.0))
        record.add(section, Figure(part, 3000, 18.0, 9.0), growth=True)
    record.failed |= {"roots": "no server", "engine at 3,000": "no memory"}
    record.finish()
    again = kept.Record("full", tmp_path, NOW + timedelta(days=2), ["engine", "roots"])
    again.add("roots", Figure("root look-up", 1000, 1.0, 1.0))
    again.add("engine", Figure("freeze", 1000, 9.0, 3.0))
    again.finish()
    found = document(tmp_path)
    told = [(part["part"], part["ratio"]) for part in found["parts"]]
    assert told == [("freeze", 3.0), ("point query", 2.0), ("root look-up", 1.0)]
    assert [part["part"] for part in found["growth"]] == ["point query"]
    assert (found["failed"], found["complete"]) == ({}, True)


def test_single_sections_make_nothing_whole(tmp_path: Path) -> None:
    record = kept.Record("full", tmp_path, NOW, ["roots"])
    record.add("roots", Figure("root look-up", 1000, 1.0, 1.0))
    record.finish()
    assert not document(tmp_path)["complete"]


def test_what_is_absent_is_skipped_and_not_failed(tmp_path: Path) -> None:
    def absent(rows: int, rounds: int, folder: Path) -> Iterator[Figure | Detail]:
        raise Skipped("the volume is not here")
        yield

    said = io.StringIO()
    sections.serve(Task("absent", 1, 1), said, {"absent": absent})
    told = json.loads(said.getvalue())
    record = kept.Record("quick", tmp_path, NOW)
    sections._hear(Task("absent", 1, 1), told, record)
    record.finish()
    found = document(tmp_path)
    assert (found["skipped"], found["complete"]) == ({"absent": "the volume is not here"}, True)


def test_the_newest_whole_one_of_a_kind_is_found_by_its_date(tmp_path: Path) -> None:
    dates = {"b-full": "2026-11-01", "a-full": "2026-11-03", "c-quick": "2026-11-09", "d-full": "2026-11-08"}
    for name, date in dates.items():
        kind = name.partition("-")[2]
        told = {"kind": kind, "date": f"{date}T00:00:00+00:00", "complete": name != "d-full"}
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    for kind, date in (("full", "2026-11-03"), ("quick", "2026-11-09"), (None, "2026-11-09")):
        found = kept.newest(kind, tmp_path)
        assert found is not None
        assert found["date"].startswith(date)
    assert kept.newest("stack", tmp_path) is None
