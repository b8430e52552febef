"""A datastack on paper: what the workflows plan for it, with no database, graph or volume at hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.domain.datastack import Datastack
from materializationengine.domain.plan import Plan, RunKind
from materializationengine.kernel.columns import Connection
from materializationengine.workflows import (
    bulk_upload,
    complete_workflow,
    create_frozen_database,
    dummy_workflow,
    incremental,
    ingest_new_annotations,
    lookup_svid,
    missing_roots,
    periodic_database_removal,
    remove_bad_roots,
    update_database,
    update_root_ids,
)
from materializationengine.workflows.requests import RunRequest, UploadRequest

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = "graphene://https://cave.example.org/segmentation/table/mydata_pcg"
STACK = Datastack("mydata", "mydata_volume", SOURCE, "mydata_pcg", (4, 4, 40))
TABLES = (("nuclei", "nucleus_detection", None), ("synapses", "synapse", None))
ROWS = 600_000
"""Rows of the upload on paper: three batches at the default size."""


class PaperDatabase(Connection):
    """Answers what a plan asks of a live database that holds `TABLES`, no version, and nothing by another name."""

    def __init__(self) -> None:
        """Open nothing."""

    def rows(self, sql: str, *_: object) -> list[tuple[Any, ...]]:
        """The annotation tables, whatever is asked: plans read no other rows."""
        return [(name, schema, reference, 4.0, 4.0, 40.0) for name, schema, reference in TABLES]

    def one(self, sql: str, *_: object) -> None:
        """No row of that kind."""

    def value(self, sql: str, *_: object) -> None:
        """Nothing of that name, and no version yet."""


class PaperVersion(PaperDatabase):
    """The same, with one version of a month before, and another that holds no table yet."""

    def rows(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """The annotation tables, and those of the other version."""
        return [] if "FROM analysistables" in sql else super().rows(sql, *params)

    def one(self, sql: str, *_: object) -> tuple[Any, ...]:
        """The one as a base: status, validity, moment, stack, number; the other: moment, status, merged, virtual."""
        moment = datetime(2026, 2, 1)
        return (moment, "AVAILABLE", True, False) if "is_merged" in sql else ("AVAILABLE", True, moment, STACK.name, 1)


def plans() -> Iterator[Plan]:
    """One plan of each kind of run."""
    paper = PaperDatabase()
    yield _upload(paper)
    yield ingest_new_annotations.plan(paper, STACK, RunRequest(RunKind.INGEST), NOW)
    yield update_root_ids.plan(paper, STACK, RunRequest(RunKind.UPDATE_ROOTS), NOW)
    yield create_frozen_database.plan(paper, STACK, RunRequest(RunKind.FREEZE), NOW, NOW, 7)
    yield incremental.plan(PaperVersion(), STACK, RunRequest(RunKind.INCREMENTAL, base_version=1), NOW, NOW, 7, 2)
    mended = RunRequest(RunKind.INCREMENTAL, base_version=1, mends=2)
    yield incremental.plan(PaperVersion(), STACK, mended, NOW, NOW, 7, 2)
    volume = STACK.aligned_volume
    yield periodic_database_removal.plan([volume], STACK, RunRequest(RunKind.RETIRE), NOW, 1)
    yield dummy_workflow.plan(RunRequest(RunKind.DUMMY))
    yield complete_workflow.plan(paper, STACK, RunRequest(RunKind.COMPLETE), NOW, NOW, 7)
    yield update_database.plan(paper, STACK, RunRequest(RunKind.UPDATE_DATABASE), NOW)
    some = RunRequest(RunKind.LOOKUP_SVID, table="synapses", annotation_ids=(17, 18, 19))
    yield lookup_svid.plan(paper, STACK, some, NOW)
    sparse = RunRequest(RunKind.SPARSE_MISSING_ROOTS, table="synapses")
    yield missing_roots.sparse_plan(paper, STACK, sparse, NOW)
    yield missing_roots.dense_plan(paper, STACK, RunRequest(RunKind.DENSE_MISSING_ROOTS), NOW)
    bad = RunRequest(RunKind.REMOVE_BAD_ROOTS, table="synapses", bad_roots=(1,))
    yield remove_bad_roots.plan(paper, STACK, bad, NOW)


def _upload(paper: PaperDatabase) -> Plan:
    services = Services(Settings())
    with TemporaryDirectory() as folder:
        mapping = _files(Path(folder))
        upload = UploadRequest("contacts", "synapse", folder, mapping)
        plan = bulk_upload.plan(services, paper, "0" * 12, STACK, RunRequest(RunKind.BULK_UPLOAD, upload=upload), NOW)
    services.close()
    return plan


def _files(folder: Path) -> dict[str, str]:
    """Column files of the right shape; they hold zeros and take no room on disk."""
    points = {"presyn_coords": "pre_pt_position", "postsyn_coords": "post_pt_position"}
    points["center_coords"] = "ctr_pt_position"
    for name in points:
        open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.int32, shape=(ROWS, 3)).flush()
    open_memmap(folder / "id.npy", mode="w+", dtype=np.int64, shape=(ROWS,)).flush()
    return {"id": "id", **points}
