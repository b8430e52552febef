"""Moments and half-open intervals, against the plainest statement of what they mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materializationengine.kernel import moments
from materializationengine.kernel.validity import Interval, holds_at

AWARE = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))


@given(AWARE)
def test_the_wire_form_is_naive_with_six_digits_and_comes_back(moment: datetime) -> None:
    text = moments.wire(moment)
    assert datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC) == moment
    assert moments.parse(text) == moment
    assert moments.aware(moments.naive(moment)) == moment


def test_a_naive_moment_is_refused_and_another_zone_becomes_utc() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        moments.naive(datetime(2026, 1, 1))
    berlin = timezone(timedelta(hours=1))
    assert moments.require_aware(datetime(2026, 1, 1, 1, tzinfo=berlin)) == datetime(2026, 1, 1, tzinfo=UTC)
    assert moments.parse("2026-01-01T01:00:00+01:00") == moments.parse("2026-01-01")


@given(st.lists(AWARE, min_size=2, max_size=2, unique=True).map(sorted), AWARE)
def test_an_interval_holds_from_its_start_to_before_its_end(bounds: list[datetime], moment: datetime) -> None:
    start, end = bounds
    assert Interval(start, end).holds(moment) == (start <= moment < end)
    assert Interval(start).holds(moment) == (start <= moment)
    assert Interval(start, end).holds(start)
    assert not Interval(start, end).holds(end)


@given(st.lists(AWARE, min_size=4, max_size=4))
def test_two_intervals_overlap_when_some_moment_is_in_both(bounds: list[datetime]) -> None:
    one, other = Interval(*sorted(bounds[:2])), Interval(*sorted(bounds[2:]))
    # Half-open intervals share a moment exactly if they share the start of one of them.
    shared = any(one.holds(moment) and other.holds(moment) for moment in (one.start, other.start))
    not_empty = one.start != one.end and other.start != other.end
    assert not not_empty or one.overlaps(other) == shared
    assert one.overlaps(other) == other.overlaps(one)


def test_an_interval_cannot_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="before its start"):
        Interval(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def test_the_sql_says_the_same() -> None:
    assert holds_at("c", "d", "$1") == "(c <= $1 AND (d IS NULL OR d > $1))"
