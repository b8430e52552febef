"""Sizes at which something is needed, and what is said of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

import scale_table


def test_a_size_is_drawn_out_in_proportion() -> None:
    assert scale_table.reached({"rows": 1e6, "seconds": 20.0}, "seconds", 3600.0) == 1.8e8


@pytest.mark.parametrize(("rows", "told"), [(123_456_789, "some 100,000,000"), (1_860_000_000, "some 2,000,000,000")])
def test_an_extrapolation_has_one_digit(rows: float, told: str) -> None:
    assert scale_table._round(rows) == told
