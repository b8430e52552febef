"""Names that begin or end alike: whatever matches names by a pattern takes its own and no other."""

from __future__ import annotations

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from materializationengine.domain.datastack import Datastack
from materializationengine.domain.names import build_database, frozen_database
from materializationengine.domain.plan import TablePlan
from materializationengine.storage import janitor
from materializationengine.storage.uploads import staged
from materializationengine.storage.views import over_split

PIECES = [
    "minnie",
    "minnie65",
    "65",
    "_",
    "__",
    "public",
    "__mat1",
    "__mat",
    "1",
    "mat",
    "matengine_build_",
    "stage_",
    "x",
]
LONGEST = 50
"""Characters of a datastack whose versions have names that PostgreSQL does not cut off."""

NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join).filter(lambda name: len(name) <= LONGEST)
TABLES = NAMES.filter(lambda name: re.fullmatch(r"[a-z_][a-z0-9_]*", name) is not None)
VERSIONS = st.integers(1, 999)
RUNS = st.text("0123456789abcdef", min_size=12, max_size=12)


@given(NAMES, VERSIONS, NAMES, VERSIONS)
def test_two_versions_never_share_a_database(one: str, first: int, other: str, second: int) -> None:
    assume((one, first) != (other, second))
    assert frozen_database(one, first) != frozen_database(other, second)


@given(RUNS, st.integers(1, 99), NAMES, VERSIONS)
def test_the_janitor_knows_builds_and_stages_from_all_else(run: str, token: int, name: str, version: int) -> None:
    assert janitor._run(janitor._BUILD, build_database(run, token)) == run
    assert janitor._run(janitor._STAGE, staged(run, "annotation")) == run
    for other in (name, frozen_database(name, version), f"{name}_volume", f"matengine_build_{name}"):
        assert janitor._run(janitor._BUILD, other) == ""
        assert janitor._run(janitor._STAGE, other) == ""


@given(st.sets(TABLES, min_size=2, max_size=5), st.data())
def test_a_view_reads_the_tables_that_it_names_and_no_other(names: set[str], data: st.DataObject) -> None:
    named = data.draw(st.sets(st.sampled_from(sorted(names)), min_size=1))
    stack = Datastack("d", "v", "graphene://http://h/segmentation/table/pcg", "pcg", (4.0, 4.0, 40.0))
    plans = [TablePlan(name, "bound_tag", stack.viewer_resolution, f"{name}__pcg") for name in sorted(names)]
    definition = "SELECT 1 FROM " + ", ".join(sorted(named))
    body = over_split(definition, plans, {plan.segmentation for plan in plans}, current_only=True)
    assert set(re.findall(r'"([a-z0-9_]+)" AS NOT MATERIALIZED', body)) == named
