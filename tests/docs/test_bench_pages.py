"""The benchmark page says what the kept file says: met or not, missing parts, other sizes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from bench import kept
from bench.figures import Detail, Figure

SCRIPTS = Path(__file__).parents[2] / "scripts"
NOW = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The page's tables of a measurement in which freezes are good, updates bad, and reads failed."""
    monkeypatch.setattr(kept, "HISTORY", tmp_path)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    record = kept.Record("full", tmp_path, NOW)
    for part, seconds in (("freeze", 5.0), ("update 1%", 30.0)):
        record.add("engine", Figure(part, 1_000_000, seconds, 10.0, peak_mb=600, ledger_rows=3, load=0.5))
        record.add("engine", Figure(part, 100_000, seconds / 20, 1.0, ledger_rows=3), growth=True)
    record.add("engine", Figure("ingest", 100, 0.05, 0.001))
    record.failed["reads"] = "no server"
    told = Detail("reads", {"point query": {"p50_ms": 4.2}})
    record.detail(told.name, told.found)
    record.finish()
    import bench_tables

    yield bench_tables
    for name in ("bench_tables", "bench_drawing"):
        sys.modules.pop(name, None)


def row(table: str, name: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_part_is_met_or_not_at_the_size_it_is_asked_of(tables: ModuleType) -> None:
    said = tables.benchmark_table()
    assert row(said, "freeze")[2:8] == ["5.00 s", "10.00 s", "0.50", "0.50 to 0.50", "0.60", "yes"]
    assert row(said, "update 1%")[6:8] == ["2.00", "no"]
    assert row(said, "ingest")[2:8] == ["50.0 ms", "1.0 ms", "50.00", "50.00 to 50.00", "3.00", "asked of 1,000,000"]
    assert row(said, "freeze")[10] == "600 MB, above 500"


def test_what_failed_is_on_the_page(tables: ModuleType) -> None:
    assert "`reads` failed: no server." in tables.benchmark_table()


def test_growth_is_met_or_not(tables: ModuleType) -> None:
    said = tables.growth_table()
    assert row(said, "freeze")[1:6] == ["0.25 s", "5.00 s", "1.30", "no", "1.00"]


def test_the_ledger_is_told_by_size_and_reads_in_milliseconds(tables: ModuleType) -> None:
    assert [line.split("|")[2].strip() for line in tables.ledger_table().splitlines()[2:]] == [
        *("100,000", "100,000", "1,000,000", "1,000,000")
    ]
    assert row(tables.reads_table(), "point query")[1] == "4.2"


def test_a_whole_quick_run_is_shown_rather_than_a_broken_full_one(tables: ModuleType, tmp_path: Path) -> None:
    assert tables.newest()["kind"] == "full"
    record = kept.Record("quick", tmp_path, NOW)
    record.add("engine", Figure("freeze", 100_000, 1.0, 1.0))
    record.finish()
    assert tables.newest()["kind"] == "quick"


def test_nothing_kept_is_said(tables: ModuleType, tmp_path: Path) -> None:
    for path in tmp_path.glob("*.json"):
        path.unlink()
    with pytest.raises(LookupError, match="bench-quick"):
        tables.newest()


def test_the_drawing_shows_each_part_and_what_is_asked_of_it(tables: ModuleType) -> None:
    import bench_drawing

    root = ElementTree.fromstring(bench_drawing.benchmark_drawing())
    said = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"freeze", "update 1%", "ingest", "the floor"} <= set(said)
    asked = [path for path in root.iter("{http://www.w3.org/2000/svg}path") if path.get("stroke-width") == "2"]
    # Of ingest nothing is asked at a hundred rows.
    assert len(asked) == 2
    assert json.dumps(said).count("50.00") == 1
