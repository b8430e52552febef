"""The measurement itself on a handful of synapses: every part runs, and a wrong answer ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import engine
from bench.cluster import ground


def test_every_part_is_measured_and_checked(tmp_path: Path) -> None:
    with ground(tmp_path) as found, engine.bench(found, 2_000, tmp_path) as measurement:
        figures = list(measurement.round(frozenset(engine.PARTS)))
        assert [figure.part for figure in figures] == list(engine.PARTS)
        assert all(figure.seconds > 0 and figure.floor > 0 and 50 < figure.peak_mb < 500 for figure in figures)
        edited = {figure.part: figure.history_rows for figure in figures if figure.part.startswith("update")}
        assert all(figure.ledger_rows > 0 for figure in figures)
        assert 0 < edited["update 1%"] < edited["update 10%"] < edited["update 50%"]
        measurement.world.edit(0.5)
        with pytest.raises(RuntimeError, match="is not what the workload says"):
            measurement._check_roots(engine.LIVE, engine.SEGMENTATION, engine.LATER)
