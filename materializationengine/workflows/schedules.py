"""From `BEAT_SCHEDULES` to schedules: Celery's own crontab reads the five fields, with their meaning in CAVE."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab

from ..domain.errors import ConfigurationError
from ..domain.schedule import CRON_FIELDS, Cron, Deed, ExpiryClass, Schedule

_OWN = ("name", "task", "time_zone", "expires", "datastack_params")
_PARAMS: Mapping[str, type] = {"days_to_expire": int, "merge_tables": bool, "datastack": str, "delete_threshold": int}
_OLDER: Mapping[str, ExpiryClass] = {
    "run_daily_periodic_materialization": ExpiryClass.SHORT,
    "run_weekly_periodic_materialization": ExpiryClass.WEEK,
    "run_lts_periodic_materialization": ExpiryClass.LONG_TERM,
}
"""Names of older CAVE releases: each stood for one class of expiry."""


def read_schedules(text: str) -> tuple[Schedule, ...]:
    """Schedules from a JSON list, or from the file that a path names; none from nothing.

    Raises ConfigurationError naming the entry, its field, and what would be right.
    """
    if not text.strip():
        return ()
    entries = _parsed(text)
    if not isinstance(entries, list):
        raise ConfigurationError("BEAT_SCHEDULES: a list of schedules is needed", field="BEAT_SCHEDULES")
    found = tuple(_schedule(number, entry) for number, entry in enumerate(entries))
    names = [each.name for each in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"BEAT_SCHEDULES: {', '.join(twice)} is there twice; a name is a schedule's identity")
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text if text.lstrip().startswith(("[", "{")) else Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"BEAT_SCHEDULES={text}: neither a JSON list nor a file: {error}") from error
    except ValueError as error:
        raise ConfigurationError(f"BEAT_SCHEDULES is no JSON: {error}") from error


def _schedule(number: int, entry: Any) -> Schedule:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not isinstance(entry.get("task"), str):
        raise ConfigurationError(f"BEAT_SCHEDULES[{number}]: an object with `name` and `task` is needed")
    where = f"BEAT_SCHEDULES: schedule {entry['name']!r}"
    _refuse_unknown(where, entry, (*_OWN, *CRON_FIELDS))
    params = _params(where, entry.get("datastack_params", {}))
    deed, expires = _deed(where, entry["task"])
    return Schedule(
        name=entry["name"],
        deed=deed,
        cron=_cron(where, entry),
        datastack=params.get("datastack"),
        days_to_expire=params.get("days_to_expire"),
        expires=_expiry(where, entry["expires"]) if "expires" in entry else expires,
        merge_tables=params.get("merge_tables", False),
        keep=params.get("delete_threshold"),
    )


def _refuse_unknown(where: str, given: Mapping[str, object], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise ConfigurationError(f"{where}: unknown field {name!r}; there are {', '.join(known)}", field=name)


def _params(where: str, params: Any) -> dict[str, Any]:
    if not isinstance(params, dict):
        raise ConfigurationError(f"{where}: datastack_params is an object")
    _refuse_unknown(where, params, tuple(_PARAMS))
    for name, value in params.items():
        right = _PARAMS[name]
        if type(value) is not right or (isinstance(value, int) and right is int and value < 1):
            wanted = {int: "a whole number from 1", bool: "true or false", str: "a text"}[right]
            raise ConfigurationError(f"{where}: {name}={value!r}; {wanted} is needed", field=name)
    return params


def _deed(where: str, task: str) -> tuple[Deed, ExpiryClass]:
    if task in _OLDER:
        return Deed.MATERIALIZE, _OLDER[task]
    try:
        return Deed(task), ExpiryClass.SHORT
    except ValueError as error:
        there = ", ".join([*Deed, *_OLDER])
        raise ConfigurationError(f"{where}: unknown task {task!r}; there are {there}", field="task") from error


def _expiry(where: str, text: Any) -> ExpiryClass:
    try:
        return ExpiryClass(text)
    except ValueError as error:
        raise ConfigurationError(f"{where}: expires={text!r}; one of {', '.join(ExpiryClass)}") from error


def _cron(where: str, entry: Mapping[str, Any]) -> Cron:
    fields = {name: _field(entry.get(name, "*")) for name in CRON_FIELDS}
    zone = entry.get("time_zone", "UTC")
    try:
        read = crontab(**fields)
        ZoneInfo(zone)
    except (ParseException, ValueError, TypeError, OSError, KeyError) as error:
        raise ConfigurationError(f"{where}: {error}") from error
    return Cron(
        minutes=frozenset(read.minute),
        hours=frozenset(read.hour),
        weekdays=frozenset(read.day_of_week),
        days=frozenset(read.day_of_month),
        months=frozenset(read.month_of_year),
        zone=zone,
    )


def _field(value: Any) -> Any:
    """Celery takes a text, a number or a set of numbers; JSON has lists."""
    return {int(each) for each in value} if isinstance(value, list) else value
