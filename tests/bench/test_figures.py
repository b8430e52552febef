"""What is made of measurements: medians and exponents."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.figures import Figure, Growth, exponent, growths, summarize

ONE = Figure("freeze", 1000, 6.0, 10.0, 15.0, 1.0, 5.0, 0.1, 200.0, {"freeze.copy": 3.0}, 7, 70, 3, 700)


def rounds(*pairs: tuple[float, float], rows: int = 1000) -> list[Figure]:
    return [replace(ONE, seconds=seconds, floor=floor, rows=rows) for seconds, floor in pairs]


def test_a_summary_takes_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    (found,) = summarize(rounds((1.0, 1.0), (9.0, 3.0), (4.0, 2.0)))
    assert (found.ratio, found.lowest, found.highest) == (2.0, 1.0, 3.0)
    assert (found.seconds, found.floor, found.rounds) == (4.0, 2.0, 3)


def test_small_ratios_keep_their_digits() -> None:
    (found,) = summarize(rounds((0.00123456, 1.0)))
    assert (found.ratio, found.seconds) == (0.001235, 0.001235)


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
def test_growth_is_told_as_an_exponent(power: float) -> None:
    figures = [one for size in (1000, 3000, 10_000) for one in rounds((size**power / 100, size / 50), rows=size)]
    assert growths(summarize(figures)) == [Growth("freeze", power, 1.0, "freeze.copy", 0.0)]


def test_the_steepest_step_is_named_and_short_ones_are_left_out() -> None:
    figures = [
        replace(ONE, rows=size, steps={"linear": size / 1000, "square": size**2 / 1e6, "short": size**3 / 1e15})
        for size in (1000, 10_000)
    ]
    (found,) = growths(summarize(figures))
    assert (found.step, found.steepest) == ("square", 2.0)


def test_one_size_says_nothing_of_growth() -> None:
    assert growths(summarize(rounds((1.0, 1.0), (2.0, 1.0)))) == []


def test_the_exponent_is_that_of_the_best_line() -> None:
    assert exponent([(10, 1), (100, 10), (1000, 100)]) == 1.0
