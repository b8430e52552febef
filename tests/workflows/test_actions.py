"""What an action declares is what its units may do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from materializationengine.steps.work import Report, Work
from materializationengine.workflows.actions import ACTIONS, UndeclaredSpawn, perform, unit


@dataclass(frozen=True, slots=True)
class Nothing:
    """Arguments of a deed that needs none."""


def _perform(monkeypatch: pytest.MonkeyPatch, spawns: tuple[str, ...]) -> Report:
    follower = unit("dummy.wait", ACTIONS["dummy.wait"].arguments(0.0))

    def deed(work: Work, args: Any) -> Report:
        return Report(1, spawned=(follower,))

    played = replace(ACTIONS["dummy.wait"], arguments=Nothing, deed=deed, spawns=spawns)
    spec = replace(follower, action="played", args={})
    monkeypatch.setitem(ACTIONS, "played", played)
    return perform(cast(Work, None), spec)


def test_a_deed_adds_only_what_its_action_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _perform(monkeypatch, ("dummy.wait",)).rows == 1
    with pytest.raises(UndeclaredSpawn, match=r"played added units of dummy\.wait"):
        _perform(monkeypatch, ())


def test_what_an_action_adds_is_an_action() -> None:
    assert {name for action in ACTIONS.values() for name in action.spawns} <= set(ACTIONS)
