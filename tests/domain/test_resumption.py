"""Which finished units a resumed run does again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from materializationengine.domain.resumption import Place, UnitGroup, lost, place
from materializationengine.workflows.actions import ACTIONS

COMPLETE = (
    *("ingest.scan", "ingest.look_up", "update_roots.scan", "update_roots.look_up", "update_roots.apply"),
    *("freeze.create", "freeze.copy", "freeze.index", "freeze.verify", "views.build", "freeze.publish"),
)


def ended_in(action: str) -> list[UnitGroup]:
    """A complete workflow that failed in a unit of this action."""
    at = COMPLETE.index(action)
    return [UnitGroup(number, each, number < at) for number, each in enumerate(COMPLETE)]


def names(units: tuple[UnitGroup, ...]) -> list[str]:
    return [unit.action for unit in units]


def test_a_failed_freeze_does_not_update_roots_again() -> None:
    everything = frozenset(Place)
    assert names(lost(ended_in("freeze.verify"), everything)) == [*COMPLETE[5:10]]
    assert names(lost(ended_in("freeze.verify"), {Place.STAGE})) == []


def test_a_failed_update_looks_roots_up_again_and_leaves_finished_tables_alone() -> None:
    assert names(lost(ended_in("update_roots.apply"), {Place.STAGE})) == ["update_roots.scan", "update_roots.look_up"]
    assert lost(ended_in("update_roots.apply"), set()) == ()


def test_rows_of_live_tables_are_never_gone() -> None:
    assert all(each.action.partition(".")[0] != "ingest" for each in lost(ended_in("ingest.look_up"), set(Place)))


@given(
    st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.booleans()), max_size=12), st.sets(st.sampled_from(Place))
)
def test_only_what_lay_in_a_place_that_is_gone_and_is_needed_is_lost(
    run: list[tuple[str, bool]], gone: set[Place]
) -> None:
    units = [UnitGroup(number, action, done) for number, (action, done) in enumerate(run)]
    again = lost(units, gone)
    needed = {place(unit.action) for unit in units if not unit.done}
    for unit in units:
        ends = unit.action in ("bulk_load.publish", "update_roots.apply", "freeze.publish", "mend.swap_in")
        where = place(unit.action)
        assert (unit in again) == (where is not None and where in gone and where in needed and not ends)
