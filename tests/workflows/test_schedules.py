"""Schedules from data to runs: each slot once, however many beats look, and a reason for each one that is not fired."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery.beat import Scheduler

from materializationengine.config import Settings
from materializationengine.domain.errors import ConfigurationError
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.schedule import Deed, Schedule
from materializationengine.kernel import moments
from materializationengine.storage import run_records, schedules
from materializationengine.workflows.beat import SlotSchedule, next_slot
from materializationengine.workflows.celery_app import create_celery
from materializationengine.workflows.firing import look, slot_run_id
from materializationengine.workflows.schedules import read_schedules
from tests.harness import Engine

NIGHTLY = {"name": "nightly", "task": "run_periodic_materialization", "hour": 8, "minute": 10}
ROOT = Path(__file__).parents[2]


def one(**changes: object) -> Schedule:
    (found,) = read_schedules(json.dumps([NIGHTLY | changes]))
    return found


def test_caves_fields_mean_what_they_mean_there() -> None:
    found = one(day_of_week=[1, 5], month_of_year="*/6", datastack_params={"days_to_expire": 3, "datastack": "a"})
    assert (found.deed, found.datastack, found.days, found.merge_tables) == (Deed.MATERIALIZE, "a", 3, False)
    assert (found.cron.minutes, found.cron.hours) == ({10}, {8})
    assert (found.cron.weekdays, found.cron.months) == ({1, 5}, {1, 7})


@pytest.mark.parametrize(
    ("changes", "days"),
    [({}, 2), ({"task": "run_weekly_periodic_materialization"}, 7), ({"expires": "long-term"}, 30),
     ({"expires": "never"}, 0)],
)  # fmt: skip
def test_a_class_of_expiry_is_counted_when_the_schedule_fires(changes: dict[str, object], days: int) -> None:
    assert one(**changes).days == days


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"task": "run_it"}, "run_it"),
        ({"hour": "25"}, "nightly"),
        ({"colour": "red"}, "colour"),
        ({"datastack_params": {"days_to_expire": 0}}, "days_to_expire"),
        ({"datastack_params": {"merge_tables": "yes"}}, "merge_tables"),
        ({"time_zone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"expires": "soon"}, "soon"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        one(**changes)


def test_two_schedules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="nightly is there twice"):
        read_schedules(json.dumps([NIGHTLY, NIGHTLY]))


def test_the_example_file_can_be_read_and_beat_takes_it() -> None:
    path = ROOT / "workflows/schedules.json"
    found = read_schedules(str(path))
    app = create_celery(Settings(beat_schedules=str(path)))
    scheduler = Scheduler(app)
    assert {each.name for each in found} | {"missed slots"} <= set(scheduler.schedule)
    assert {each.deed for each in found} == set(Deed)
    for entry in scheduler.schedule.values():
        assert entry.task in app.tasks


def test_beat_waits_for_the_next_slot_in_its_zone() -> None:
    cron = one(time_zone="America/New_York", hour=2, minute=30).cron
    assert next_slot(cron, datetime(2026, 3, 8, tzinfo=UTC)) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    found = SlotSchedule(cron).is_due(moments.now() - timedelta(days=2))
    assert found.is_due and 0 < found.next <= 90_000


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    engine.load(small_world, datastack)
    return datastack


def nightly(datastack: str) -> Schedule:
    """A schedule of this test alone: firings of all tests stand in one home database."""
    return one(name=f"nightly {datastack}", datastack_params={"datastack": datastack})


NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)


def recorded(engine: Engine, schedule: Schedule) -> list[tuple[str, str]]:
    with engine.services.cluster.connect() as connection:
        return [(each.slot.astimezone(UTC).isoformat(), each.outcome)
                for each in schedules.firings(connection, schedule.name)]  # fmt: skip


def test_two_beats_at_once_fire_once(engine: Engine, stack: str) -> None:
    schedule = nightly(stack)
    assert look(engine.services, schedule, lambda _: None, NOW) == []
    with ThreadPoolExecutor(4) as pool:
        later = NOW + timedelta(days=1)
        found = list(pool.map(lambda _: look(engine.services, schedule, lambda _: None, later), range(4)))
    runs = [run for each in found for run in each]
    assert len(runs) == 1
    record = run_records.find_run(engine.services.cluster, runs[0])
    assert (record.kind, record.requested_by) == (RunKind.COMPLETE, f"schedule {schedule.name}")
    assert recorded(engine, schedule)[0] == ("2026-06-02T08:10:00+00:00", "FIRED")


def test_a_beat_that_was_off_fires_the_newest_slot_and_keeps_why_not_the_others(engine: Engine, stack: str) -> None:
    schedule = nightly(stack)
    look(engine.services, schedule, lambda _: None, NOW)
    assert len(look(engine.services, schedule, lambda _: None, NOW + timedelta(days=3))) == 1
    assert [outcome for _, outcome in recorded(engine, schedule)] == ["FIRED", "SKIPPED", "SKIPPED", "REGISTERED"]


def test_a_beat_that_died_between_taking_a_slot_and_starting_its_run_loses_and_doubles_nothing(
    engine: Engine, stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, slot = nightly(stack), datetime(2026, 6, 2, 8, 10, tzinfo=UTC)
    look(engine.services, schedule, lambda _: None, NOW)
    with engine.services.cluster.connect() as connection:
        assert schedules.take(connection, schedule.name, slot)
        assert schedules.unsettled(connection, schedule.name, 300.0) == []
        connection.execute("UPDATE matengine.firing SET decided = decided - interval '1 hour' WHERE schedule = $1",
                           schedule.name)  # fmt: skip
        connection.commit()
    later = NOW + timedelta(days=1)
    first = look(engine.services, schedule, lambda _: None, later)
    assert first == [slot_run_id(schedule.name, slot, stack)]
    with engine.services.cluster.connect() as connection:
        connection.execute(
            "UPDATE matengine.firing SET decided = decided - interval '1 hour', outcome = 'PENDING' "
            "WHERE schedule = $1",
            schedule.name,
        )
        connection.commit()
    assert look(engine.services, schedule, lambda _: None, later) == first
    assert len(run_records.list_runs(engine.services.cluster, stack)) == 1


def test_a_skip_has_its_reason(engine: Engine, stack: str) -> None:
    busy = engine.start_only(RunKind.FREEZE, stack)
    schedule = nightly(stack)
    look(engine.services, schedule, lambda _: None, NOW)
    assert look(engine.services, schedule, lambda _: None, NOW + timedelta(days=1)) == []
    with engine.services.cluster.connect() as connection:
        newest = schedules.firings(connection, schedule.name)[0]
    assert newest.outcome == "SKIPPED" and busy in newest.reason


def test_expiry_is_counted_from_the_firing(engine: Engine, stack: str) -> None:
    schedule, later = one(name=f"weekly {stack}", expires="week", datastack_params={"datastack": stack}), NOW
    look(engine.services, schedule, lambda _: None, later)
    later += timedelta(days=1)
    (run,) = look(engine.services, schedule, lambda _: None, later)
    assert run_records.find_run(engine.services.cluster, run).status is RunStatus.RUNNING
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        expires = connection.value("SELECT expires_on FROM analysisversion")
    assert moments.aware(expires) == later + timedelta(days=7)
