"""What is made of measurements: medians, exponents, and the guard, which looks at ratios alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.engine import Figure
from bench.report import exponents, newest, summarize, worsened

ONE = Figure("freeze", 1000, 6.0, 10.0, 15.0, 1.0, 5.0, 0.1, 200.0, {"freeze.copy": 3.0}, 7, 70, 700)


def rounds(*pairs: tuple[float, float], rows: int = 1000) -> list[Figure]:
    return [replace(ONE, seconds=seconds, floor=floor, rows=rows) for seconds, floor in pairs]


def test_a_summary_takes_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    (found,) = summarize(rounds((1.0, 1.0), (9.0, 3.0), (4.0, 2.0)))
    assert (found.ratio, found.lowest, found.highest) == (2.0, 1.0, 3.0)
    assert (found.seconds, found.floor, found.rounds) == (4.0, 2.0, 3)


@pytest.mark.parametrize(("power", "told"), [(1.0, 1.0), (2.0, 2.0), (0.5, 0.5)])
def test_growth_is_told_as_an_exponent(power: float, told: float) -> None:
    figures = [one for size in (1000, 3000, 10_000) for one in rounds((size**power / 100, 1.0), rows=size)]
    assert exponents(summarize(figures)) == {"freeze": told}


def test_one_size_says_nothing_of_growth() -> None:
    assert exponents(summarize(rounds((1.0, 1.0), (2.0, 1.0)))) == {}


def test_the_guard_compares_ratios_with_the_worst_round_kept() -> None:
    kept = {"commit": "abc", "parts": [{"part": "freeze", "rows": 1000, "highest": 2.0}]}
    # A machine ten times slower has the same ratios.
    assert worsened(kept, summarize(rounds((30.0, 10.0))), spread=1.5) == []
    (said,) = worsened(kept, summarize(rounds((3.1, 1.0))), spread=1.5)
    assert said == "freeze at 1,000 rows: 3.10 times the floor, 2.00 at most in abc, which may spread by 1.5"


def test_the_guard_says_nothing_of_what_was_not_kept() -> None:
    kept = {"commit": "abc", "parts": [{"part": "freeze", "rows": 5, "highest": 0.1}]}
    assert worsened(kept, summarize(rounds((30.0, 10.0)))) == []


def test_the_newest_of_a_kind_is_found_by_its_date(tmp_path: Path) -> None:
    for name, date in (("b-full", "2026-11-01"), ("a-full", "2026-11-03"), ("c-quick", "2026-11-09")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"date": date}))
    assert newest("full", tmp_path) == {"date": "2026-11-03"}
    assert newest("stack", tmp_path) is None
