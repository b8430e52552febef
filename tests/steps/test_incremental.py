"""A version made from a base version equals, row for row and digest for digest, a full freeze at that moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from materializationengine.domain.plan import RunKind
from materializationengine.kernel import moments
from materializationengine.storage.version_tables import version_rows
from tests.harness import Engine

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


def digests(engine: Engine, datastack: str, version: int | None) -> dict[str, tuple[int, str]]:
    """What the registry knows of a version's tables."""
    stack = engine.services.datastacks.get(datastack)
    (row,) = version_rows(engine.services.cluster, stack, version)
    return {table.name: (table.rows, table.digest) for table in row.tables}


def in_physical_order(engine: Engine, datastack: str, version: int | None, table: str = "synapses") -> list[int]:
    """Ids as they lie on disk."""
    with engine.services.cluster.connect(f"{datastack}__mat{version}") as connection:
        return [number for (number,) in connection.rows(f'SELECT id FROM "{table}" ORDER BY ctid')]


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("live_at", [40, 60])
def test_roots_changed_between(
    engine: Engine, small_world: Path, datastack: str, live_at: int, split: bool
) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    base = engine.run(RunKind.COMPLETE, datastack, as_of=day(20), split=split)
    engine.run(RunKind.UPDATE_ROOTS, datastack, as_of=day(live_at))
    full = engine.run(RunKind.FREEZE, datastack, as_of=day(40), split=split)
    made = engine.run(RunKind.INCREMENTAL, datastack, as_of=day(40), base_version=base.version, split=split)
    copied = next(unit for unit in made.units if unit.action == "incremental.copy").facts
    assert copied["copied_in_full"] == [] and copied["patched"] > 0
    assert digests(engine, datastack, made.version) == digests(engine, datastack, full.version)
    assert in_physical_order(engine, datastack, made.version) == in_physical_order(engine, datastack, full.version)
    assert engine.frozen(datastack, made.version).equals(engine.frozen(datastack, full.version))
