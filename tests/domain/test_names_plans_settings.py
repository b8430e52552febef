"""Names, plans as JSON, look-ups on arrays, and settings."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materializationengine.config import Settings
from materializationengine.domain import errors, names
from materializationengine.domain.datastack import Datastack
from materializationengine.domain.plan import (
    ColumnSource,
    FreezePlan,
    Plan,
    RunKind,
    StepPlan,
    TablePlan,
    UnitSpec,
    UploadPlan,
    from_json,
    to_json,
)
from materializationengine.domain.ports import ColumnFile, Reason, RootLookup, SupervoxelLookup
from materializationengine.domain.root_ids import among, join_lookups, owed_mask

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)


@given(TEXT, TEXT)
def test_a_bounded_name_fits_and_two_names_stay_two(one: str, other: str) -> None:
    assert len(names.bounded(one).encode()) <= names.MAX_IDENTIFIER
    assert (names.bounded(one * 3) == names.bounded(other * 3)) == (one * 3 == other * 3)
    assert len(one.encode()) > names.MAX_IDENTIFIER or names.bounded(one) == one


@pytest.mark.parametrize("name", ["Synapses", "1synapse", "syn apse", 'syn"apse', "", "syn;drop", "ß", "a" * 64])
def test_bad_table_names(name: str) -> None:
    with pytest.raises(errors.BadName, match="table name"):
        names.check_table_name(name)


def test_a_table_name_leaves_room_for_its_segmentation_table() -> None:
    assert names.check_table_name("a" * 55, "graph1") == "a" * 55
    with pytest.raises(errors.BadName, match="may have 55"):
        names.check_table_name("a" * 56, "graph1")


def test_names_as_cave_has_them() -> None:
    assert names.segmentation_table("synapses", "pcg") == "synapses__pcg"
    assert names.frozen_database("minnie", 117) == "minnie__mat117"


MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))
TABLES = st.builds(TablePlan, TEXT, TEXT, st.tuples(*[st.floats(1, 100)] * 3), st.none() | TEXT, st.none() | TEXT)
UNITS = st.builds(UnitSpec, TEXT, st.dictionaries(TEXT, st.integers(-(2**63), 2**63 - 1)), TEXT)
FILES = st.builds(ColumnFile, TEXT, st.tuples(st.integers(0, 9)), st.just("<i8"), st.booleans(), st.integers(0, 99))
PLANS = st.builds(
    Plan,
    st.sampled_from(RunKind),
    st.lists(st.builds(StepPlan, TEXT, st.lists(UNITS, max_size=2).map(tuple)), max_size=2).map(tuple),
    st.none() | MOMENTS,
    st.none() | st.builds(Datastack, TEXT, TEXT, TEXT, TEXT, st.just((4.0, 4.0, 40.0))),
    st.lists(TABLES, max_size=2).map(tuple),
    st.none()
    | st.builds(
        UploadPlan,
        TABLES,
        TEXT,
        st.lists(st.builds(ColumnSource, FILES, st.just(("id",))), max_size=2).map(tuple),
        st.integers(0, 9),
        TEXT,
        TEXT,
        MOMENTS,
    ),
    st.none() | st.builds(FreezePlan, st.lists(TABLES, max_size=2).map(tuple), st.none() | MOMENTS, st.booleans()),
)


@given(PLANS)
def test_a_plan_comes_back_from_json_as_it_was(plan: Plan) -> None:
    assert from_json(to_json(plan), Plan) == plan


def test_a_lookup_keeps_background_and_what_is_owed_apart() -> None:
    reasons = np.array(list(Reason), dtype=np.uint8)
    points = SupervoxelLookup(np.arange(len(reasons), dtype=np.int64), reasons)
    resolved = np.ones(len(reasons), dtype=bool)
    resolved[Reason.FOUND] = False
    found = join_lookups(points, RootLookup(np.arange(len(reasons), dtype=np.int64), resolved))
    assert found.supervoxel_known.tolist() == [True, True, True, False, False, False, False]
    assert found.root_known.tolist() == [False, True, True, False, False, False, False]
    assert found.reason[Reason.FOUND] == Reason.UNKNOWN_TO_GRAPH
    assert owed_mask(reasons).tolist() == [False, False, False, True, True, True, False]
    assert not join_lookups(points, None).root_known.any()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DAYS_TO_EXPIRE", "soon", "a whole number is needed"),
        ("MATERIALIZATION_WRITER_WAIT", "long", "a number is needed"),
        ("MATERIALIZATION_SPATIAL_INDEX", "rtree", "one of measured, brin, gist"),
        ("FLASK_CONFIGURATION", "prod", "one of development, testing, production"),
        ("MATENGINE_SPEED", "9", "unknown setting MATENGINE_SPEED"),
        ("DAF_CREDENTIALS", "/nowhere.json", "a JSON file with `token`"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, said: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=said):
        Settings.from_env({name: value}).token()


def test_settings_fall_back_on_each_other() -> None:
    settings = Settings.from_env({"LOCAL_SERVER_URL": "http://a", "REDIS_URL": "redis://b"})
    assert (settings.info_server, settings.graph_server, settings.broker) == ("http://a", "http://a", "redis://b")
    assert Settings.from_env({"AUTH_DISABLED": "True"}).auth_disabled is False


@given(st.lists(st.integers(-3, 20)), st.lists(st.integers(0, 17), unique=True).map(sorted))
def test_ids_are_found_among_sorted_ones(ids: list[int], known: list[int]) -> None:
    found = among(np.array(ids, dtype=np.int64), np.array(known, dtype=np.int64))
    assert found.tolist() == [each in known for each in ids]
