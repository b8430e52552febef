"""Slots of schedules: every one once, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materializationengine.domain.schedule import Cron, due

EVERY = {"weekdays": frozenset(range(7)), "days": frozenset(range(1, 32)), "months": frozenset(range(1, 13))}
NEW_YORK = "America/New_York"


def cron(minute: int, hours: frozenset[int], zone: str = "UTC") -> Cron:
    return Cron(frozenset({minute}), hours, zone=zone, **EVERY)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "hour", "slot"),
    [
        # 2026-03-08, 02:30 does not exist in New York: it is meant at 03:30 there.
        ("2026-03-08", 2, "2026-03-08T07:30"),
        # 2026-11-01, 01:30 comes twice: the first is meant.
        ("2026-11-01", 1, "2026-11-01T05:30"),
        ("2026-11-02", 1, "2026-11-02T06:30"),
    ],
)
def test_a_night_with_a_change_of_clocks_has_one_slot(day: str, hour: int, slot: str) -> None:
    nightly = cron(30, frozenset({hour}), NEW_YORK)
    start = utc(f"{day}T04:00")
    assert nightly.slots(start, start + timedelta(hours=23)) == [utc(slot)]


def test_an_hourly_schedule_has_every_hour_of_a_night_with_25() -> None:
    hourly = cron(0, frozenset(range(24)), NEW_YORK)
    slots = hourly.slots(utc("2026-11-01T03:59"), utc("2026-11-02T04:59"))
    assert slots == [utc("2026-11-01T04:00") + timedelta(hours=n) for n in range(25)]


def test_days_of_week_and_month_are_both_needed() -> None:
    """CAVE's "Wednesdays of the first week" rests on this; cron proper would take either."""
    wednesday = Cron(frozenset({10}), frozenset({8}), frozenset({3}), frozenset(range(1, 8)), EVERY["months"])
    assert wednesday.slots(utc("2026-01-01"), utc("2026-03-01")) == [utc("2026-01-07T08:10"), utc("2026-02-04T08:10")]


@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)), st.lists(st.integers(1, 200_000), max_size=8))
def test_looking_often_or_once_finds_the_same_slots(start: datetime, gaps: list[int]) -> None:
    daily = cron(15, frozenset({2, 14}), NEW_YORK)
    begin = now = start.replace(tzinfo=UTC)
    found: list[datetime] = []
    for gap in gaps:
        found += daily.slots(now, now + timedelta(seconds=gap))
        now += timedelta(seconds=gap)
    assert found == daily.slots(begin, now)


def test_a_beat_that_was_off_for_days_fires_once_and_says_why_not_more() -> None:
    daily, last = cron(0, frozenset({8})), utc("2026-01-01T08:00")
    found = due(daily, last, utc("2026-01-04T09:00"), grace=86_400)
    assert found.fire == utc("2026-01-04T08:00")
    assert [slot for slot, _ in found.skipped] == [utc("2026-01-02T08:00"), utc("2026-01-03T08:00")]
    assert all("2026-01-04T08:00" in reason for _, reason in found.skipped)


def test_a_slot_beyond_the_grace_is_not_caught_up() -> None:
    found = due(cron(0, frozenset({8})), utc("2026-01-01T08:00"), utc("2026-01-02T20:00"), grace=3600)
    assert found.fire is None
    assert [(slot, "MATERIALIZATION_BEAT_GRACE" in reason) for slot, reason in found.skipped] == [
        (utc("2026-01-02T08:00"), True)
    ]


def test_nothing_is_due_before_the_next_slot() -> None:
    found = due(cron(0, frozenset({8})), utc("2026-01-01T08:00"), utc("2026-01-02T07:59"), grace=3600)
    assert (found.fire, found.skipped) == (None, ())
