"""Retention: nothing that somebody needs is ever retired, whatever the registry looks like."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from materializationengine.domain.retention import Keep, VersionFacts, decide

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD, SOON = NOW - timedelta(days=1), NOW + timedelta(days=1)
STACKS = ("minnie", "minnie_public", "min")


@st.composite
def registries(draw: st.DrawFn) -> list[VersionFacts]:
    """Versions of some datastacks on one volume; a parent always comes before its children."""
    found: list[VersionFacts] = []
    for number in range(1, draw(st.integers(0, 12)) + 1):
        parent = draw(st.sampled_from([None, None, *[facts.id for facts in found]]))
        status = draw(st.sampled_from(["AVAILABLE", "AVAILABLE", "AVAILABLE", "RUNNING", "FAILED", "EXPIRED"]))
        expires = draw(st.sampled_from([OLD, OLD, NOW, SOON, None]))
        stack, pinned, in_use = draw(st.sampled_from(STACKS)), draw(st.booleans()), draw(st.booleans())
        valid = status == "AVAILABLE" and draw(st.sampled_from([True, True, True, False]))
        found.append(VersionFacts(number, stack, number, status, valid, expires, parent, pinned, in_use))
    return found


@given(registries(), st.sampled_from([None, *STACKS]), st.integers(0, 3))
def test_what_is_retired_is_needed_by_nobody(versions: list[VersionFacts], datastack: str | None, keep: int) -> None:
    decision = decide(versions, NOW, datastack=datastack, keep=keep)
    by_id = {facts.id: facts for facts in versions}
    retired = [by_id[id_] for id_ in decision.retire]
    for facts in retired:
        assert facts.status == "AVAILABLE" and not facts.pinned and not facts.in_use
        assert facts.expires_on is not None and facts.expires_on <= NOW
        assert datastack in (None, facts.datastack)
    stay = [facts for facts in versions if facts.id not in decision.retire]
    assert not {facts.parent for facts in stay if facts.status == "AVAILABLE"} & set(decision.retire)
    for stack in STACKS:
        readable = [facts.id for facts in versions if facts.datastack == stack and facts.readable and not facts.parent]
        assert not set(sorted(readable)[-max(keep, 1) :]) & set(decision.retire)


@given(registries(), st.sampled_from([None, *STACKS]))
def test_every_version_is_told_of_once_and_children_go_first(
    versions: list[VersionFacts], datastack: str | None
) -> None:
    decision = decide(versions, NOW, datastack=datastack)
    told = [*decision.retire, *(id_ for id_, _ in decision.kept)]
    assert sorted(told) == [facts.id for facts in versions]
    parents = {facts.id: facts.parent for facts in versions}
    virtual = [parents[id_] is not None for id_ in decision.retire]
    assert virtual == sorted(virtual, reverse=True)


@given(registries())
def test_a_second_look_retires_nothing_more(versions: list[VersionFacts]) -> None:
    gone = set(decide(versions, NOW).retire)
    after = [replace(f, status="EXPIRED" if f.id in gone else f.status) for f in versions]
    assert decide(after, NOW).retire == ()


def test_each_reason_to_stay() -> None:
    versions = [
        VersionFacts(1, "a", 1, "AVAILABLE", True, OLD),
        VersionFacts(2, "a", 2, "RUNNING", False, OLD),
        VersionFacts(3, "a", 3, "AVAILABLE", True, OLD, pinned=True),
        VersionFacts(4, "a", 4, "AVAILABLE", True, OLD),
        VersionFacts(5, "public", 4, "AVAILABLE", True, SOON, parent=4),
        VersionFacts(6, "a", 6, "AVAILABLE", True, None),
        VersionFacts(7, "a", 7, "AVAILABLE", True, SOON),
        VersionFacts(8, "a", 8, "AVAILABLE", True, OLD),
        VersionFacts(9, "ab", 9, "AVAILABLE", True, OLD),
        VersionFacts(10, "a", 10, "FAILED", False, OLD),
    ]
    decision = decide(versions, NOW, datastack="a")
    assert decision.retire == (1,)
    assert dict(decision.kept) == {
        2: Keep.BUILDING, 3: Keep.PINNED, 4: Keep.PARENT, 5: Keep.FOREIGN, 6: Keep.ENDLESS, 7: Keep.YOUNG,
        8: Keep.LAST, 9: Keep.FOREIGN, 10: Keep.OVER,
    }  # fmt: skip
