"""Positions to voxels, compared with exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materializationengine.gateways.voxels import to_voxels


def along_x(position: float, units: float, voxel: float) -> int:
    return int(to_voxels([[position, 0, 0]], (units, 1, 1), (voxel, 1, 1))[0, 0])


@pytest.mark.parametrize(
    ("position", "units", "voxel", "expected"),
    [(10, 3.58, 7.16, 5), (20, 3.58, 7.16, 10), (31, 4.3, 4.3, 31), (62, 4.3, 4.3, 62), (1, 0.3, 0.1, 3)],
)
def test_a_border_that_floats_miss(position, units, voxel, expected):
    assert math.floor(position * units / voxel) == expected - 1, "plain arithmetic puts it in the voxel before"
    assert along_x(position, units, voxel) == expected


def test_a_ratio_is_never_rounded_by_itself():
    assert 49 * (1 / 49) < 1
    assert along_x(49, 1.0, 49.0) == 1


@pytest.mark.parametrize(("position", "expected"), [(0.5, 0), (-0.5, -1), (-1.0, -1), (-1.5, -2), (1.999, 1)])
def test_a_voxel_holds_what_lies_above_its_lower_border(position, expected):
    assert along_x(position, 8.0, 8.0) == expected


RESOLUTIONS = st.sampled_from([0.1, 0.3, 1.0, 3.58, 4.0, 4.3, 7.16, 8.0, 16.0, 39.9, 40.0])


@given(st.lists(st.tuples(*[st.integers(-(10**5), 10**6)] * 3), max_size=20), *[st.tuples(*[RESOLUTIONS] * 3)] * 2)
def test_whole_positions_are_exact(positions, units, voxel):
    ratios = [Fraction(str(u)) / Fraction(str(v)) for u, v in zip(units, voxel, strict=True)]
    exact = [[math.floor(p * r) for p, r in zip(point, ratios, strict=True)] for point in positions]
    points = np.array(positions, dtype=np.float64).reshape(-1, 3)
    np.testing.assert_array_equal(to_voxels(points, units, voxel), np.array(exact, dtype=np.int64).reshape(-1, 3))
