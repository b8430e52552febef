"""The volume's trap: a chunk that cannot be read looks like background."""

from __future__ import annotations

import shutil
from pathlib import Path

from materializationengine.domain.plan import RunKind
from tests.harness import Engine, copy_world
from tests.holes.conftest import day, open_lab


def test_trap_a_chunk_that_is_missing_reads_as_zeros(
    engine: Engine, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    world = copy_world(small_world, tmp_path / "torn")
    (world / "segmentation").unlink()
    shutil.copytree(small_world / "segmentation", world / "segmentation")
    chunks = [path for path in (world / "segmentation").rglob("*") if path.is_file() and path.name.count("_") == 2]
    chunk = sorted(chunks)[0]
    chunk.rename(tmp_path / "kept")
    engine.load(world, datastack)
    lab = open_lab(engine, world, datastack)
    lab.post(300)
    lab.run(RunKind.INGEST, as_of=day(5))
    owed = lab.rows("SELECT DISTINCT reason FROM matengine.unresolved")
    assert owed == [("missing_chunk",)]
    missing = lab.live()["pre_pt_supervoxel_id"].null_count
    assert 0 < missing < 300
    (tmp_path / "kept").rename(chunk)
    lab.run(RunKind.INGEST, as_of=day(5))
    assert lab.true_at(lab.live(), day(5)) and lab.rows("SELECT * FROM matengine.unresolved") == []
