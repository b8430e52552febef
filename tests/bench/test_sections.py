"""The other sections on a handful of rows: each tells its figures, and refuses what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import engine, plans, points, reads, roots, visits_sections
from bench.asked import ASKED
from bench.figures import Detail, Figure
from bench.sections import SECTIONS, Task
from bench.skipped import Skipped


def split(found: Iterator[Figure | Detail]) -> tuple[list[Figure], list[Detail]]:
    told = list(found)
    return [each for each in told if isinstance(each, Figure)], [each for each in told if isinstance(each, Detail)]


def sound(figures: list[Figure], rows: int) -> None:
    for figure in figures:
        assert figure.seconds > 0
        assert figure.floor > 0
        assert figure.rows == rows
        assert figure.peak_mb > 50  # of this process, where the section has none of its own


def test_reads_tell_points_and_downloads(tmp_path: Path) -> None:
    figures, details = split(reads.measure(2_000, 1, tmp_path))
    sound(figures, 2_000)
    points_of = ["point query", "live query, unchanged roots", "live query, edited roots"]
    assert [figure.part for figure in figures] == [*points_of, *reads.ENCODINGS]
    assert set(details[0].found) == {"bare select", *points_of, *reads.ENCODINGS}
    assert details[0].found["download, zstd"]["body_mb"] < details[0].found["download"]["body_mb"]


def test_root_look_ups_ask_the_same_of_the_same_server(tmp_path: Path) -> None:
    figures, _ = split(roots.measure(500, 2, tmp_path))
    sound(figures, 500)
    assert [figure.part for figure in figures] == [roots.PART] * 2


def test_roots_that_differ_end_the_measurement() -> None:
    asking = roots.Asking("http://127.0.0.1:1", np.array([1]))
    asking.ours, asking.bare = np.array([1, 2]), np.array([1, 3])
    with pytest.raises(RuntimeError, match="not those of the bare requests"):
        asking.check()


def test_visits_store_the_same_rows_as_their_floor(tmp_path: Path) -> None:
    figures, details = split(visits_sections.measure(60, 1, tmp_path))
    sound(figures, 60)
    assert [figure.part for figure in figures] == [visits_sections.PART] * 3
    assert set(details[0].found) == {"ours", "bare SQL"}
    assert set(details[0].found["ours"]) == {"read_obj", "read_src", "read_fsrc", "store"}


@pytest.mark.skipif(
    not (points.PYTHON.exists() and points.EM512.is_dir()),
    reason="needs the volume em512 and .venv-cloudvolume (scripts/setup-clients.sh cloudvolume)",
)
def test_supervoxels_are_those_of_the_other_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "SAMPLE", 100)
    (figure,), _ = split(points.measure(300, 1, tmp_path))
    sound([figure], 300)


def test_what_is_absent_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "EM512", tmp_path / "em512")
    with pytest.raises(Skipped, match="em512 is not beside"):
        next(points.measure(10, 1, tmp_path))
    monkeypatch.setattr(points, "EM512", tmp_path)
    monkeypatch.setattr(points, "PYTHON", tmp_path / "python")
    with pytest.raises(Skipped, match=r"setup-clients.sh cloudvolume"):
        next(points.measure(10, 1, tmp_path))


def test_growth_is_measured_at_every_other_size_once() -> None:
    found = list(plans.tasks(1_000_000, 3, growth=plans.GROWTH_ROWS))
    assert [task.section for task in found if not task.growth] == list(SECTIONS)
    assert {task.rows for task in found if task.growth} == {100_000, 300_000, 3_000_000}
    assert all(task.rounds == 1 for task in found if task.growth)
    assert Task("visits", 10_000, 3) in found
    assert [task.section for task in plans.tasks(1000, 1, ["roots"])] == ["roots"]


def test_what_is_asked_can_be_measured() -> None:
    named = {*ASKED} - {*reads.ENCODINGS, "point query", "live query, unchanged roots", "live query, edited roots"}
    assert named == {*engine.PARTS, points.PART, visits_sections.BESIDE}
