"""Two pairs of table and graph whose names run together: the second is refused, not bound to the ids of the first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from materializationengine.domain.errors import BadName
from materializationengine.storage.annotation_tables import create_segmentation_table, table_plan
from tests.harness import Engine
from tests.holes.conftest import open_lab


def test_a_segmentation_table_belongs_to_one_table_of_one_graph(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    engine.load(small_world, datastack)
    lab = open_lab(engine, small_world, datastack)
    lab.make("a__b", "bound_tag")
    lab.make("a", "bound_tag")
    stack = engine.services.datastacks.get(datastack)
    short, long = replace(stack, pcg_table="c"), replace(stack, pcg_table="b__c")
    with engine.services.cluster.connect(lab.database) as connection:
        for _ in range(2):
            create_segmentation_table(connection, short, table_plan(connection, short, "a__b"))
        with pytest.raises(BadName, match="a__b__c holds the ids of 'a__b'"):
            create_segmentation_table(connection, long, table_plan(connection, long, "a"))
        create_segmentation_table(connection, short, table_plan(connection, short, "a"))
