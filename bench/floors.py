"""The floor: what bare SQL costs for the same work, by the statements of `shared/bench/floor.py`.

That program runs from end to end; here its parts are called one by one, each beside the engine's part that it is
the floor of, so that both meet the same load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .workload import floor

DATABASE, COPY = "bench_floor", "bench_floor_copy"
_SEGMENTATION_COLUMNS = "id,pre_pt_supervoxel_id,pre_pt_root_id,post_pt_supervoxel_id,post_pt_root_id"
_ANNOTATION_COLUMNS = "id,created,valid,pre_pt_position,post_pt_position,ctr_pt_position,size"
_MERGE = (
    "create table merged as select a.id, a.created, a.valid, pre_pt_position, pre_pt_supervoxel_id, pre_pt_root_id, "
    "post_pt_position, post_pt_supervoxel_id, post_pt_root_id, ctr_pt_position, size "
    "from ann a join seg using (id) where a.valid and a.created <= now()"
)
_COPY_OUT = (
    "copy (select id, created, valid, st_x(pre_pt_position)::int, st_y(pre_pt_position)::int, "
    "st_z(pre_pt_position)::int, pre_pt_supervoxel_id, pre_pt_root_id, st_x(post_pt_position)::int, "
    "st_y(post_pt_position)::int, st_z(post_pt_position)::int, post_pt_supervoxel_id, post_pt_root_id, "
    "st_x(ctr_pt_position)::int, st_y(ctr_pt_position)::int, st_z(ctr_pt_position)::int, size "
    "from merged) to stdout (format binary)"
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the clock, and CPU seconds of client and server together."""

    seconds: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.cpu + other.cpu)


class Floors:
    """The floor of each part, measured anew at each call.

    `server_cpu` tells the CPU seconds of the server so far.
    """

    def __init__(self, dsn: str, rows: int, server_cpu: Callable[[], float]) -> None:
        self._floor: Any = floor().Floor(dsn, rows, 1)
        self._floor.timed = self._keep
        self._server_cpu = server_cpu
        self._costs: dict[str, Cost] = {}
        self._binary = floor().pb
        self._admin: Any = None
        self._cursor: Any = None

    def open(self) -> None:
        """Make the floor's database."""
        self._admin = self._floor.connect("postgres")
        self._drop()
        self._admin.execute(f"create database {DATABASE}")
        self._cursor = self._floor.connect(DATABASE)
        self._cursor.execute("create extension postgis")

    def close(self) -> None:
        """Drop it."""
        self._cursor.connection.close()
        self._drop()
        self._admin.connection.close()

    def bulk_upload(self) -> Cost:
        """COPY both tables, the segmentation's indexes, and six indexes of the merged table."""
        self._cursor.execute("drop table if exists ann, seg, merged")
        module = floor()
        self._cursor.execute(f"create table ann ({module.ANNOTATION}); create table seg ({module.SEGMENTATION})")
        spent = self._timed(self._copy_annotation) + self._timed(lambda: self._copy_segmentation("seg"))
        self._cursor.execute("alter table ann add primary key (id)")
        spent += self._timed(lambda: self._floor.indexes("seg", module.SEG_INDEXES, 1))
        self._cursor.execute("vacuum analyze")
        self._cursor.execute("checkpoint")
        self._cursor.execute(_MERGE)
        return spent + self._timed(self._index_merged)

    def ingest(self) -> Cost:
        """COPY positions out, COPY ids in, three indexes."""
        module = floor()
        self._cursor.execute(f"drop table if exists filled; create table filled ({module.SEGMENTATION})")
        spent = self._timed(lambda: self._cursor.copy_expert(_COPY_OUT, module.Sink()))
        spent += self._timed(lambda: self._copy_segmentation("filled"))
        spent += self._timed(lambda: self._floor.indexes("filled", module.SEG_INDEXES, 1))
        self._cursor.execute("drop table filled")
        return spent

    def freeze(self) -> Cost:
        """CREATE DATABASE from a template, CREATE TABLE AS, six indexes on two connections."""
        self._cursor.execute("drop table if exists merged")
        self._cursor.connection.close()
        self._admin.execute("checkpoint")
        spent = self._timed(lambda: self._admin.execute(f"create database {COPY} template {DATABASE} strategy wal_log"))
        self._admin.execute(f"drop database {COPY} with (force)")
        self._cursor = self._floor.connect(DATABASE)
        return spent + self._timed(lambda: self._cursor.execute(_MERGE)) + self._timed(self._index_merged)

    def update(self, fraction: float) -> Cost:
        """COPY the staged map, UPDATE .. FROM on the indexed table."""
        self._floor.update(self._cursor, fraction)
        return self._costs[f"stage_{fraction}"] + self._costs[f"update_{fraction}"]

    def complete(self, fraction: float) -> Cost:
        """An update and a freeze."""
        return self.update(fraction) + self.freeze()

    def _index_merged(self) -> None:
        self._floor.indexes("merged", floor().MERGED_INDEXES, 2)

    def _copy_annotation(self) -> None:
        binary, synapses, rows = self._binary, self._floor.syn, self._floor.n
        created = np.full(rows, floor().T0, dtype=np.int64)

        def columns(first: int, last: int) -> list[Any]:
            part = slice(first, last)
            return [
                binary.int8(synapses.ids[part]),
                binary.timestamp(created[part]),
                binary.boolean(np.ones(last - first)),
                *(binary.pointz(points[part]) for points in (synapses.pre, synapses.post, synapses.ctr)),
                binary.float8(synapses.size[part]),
            ]

        self._floor.copy_in(self._cursor, "ann", _ANNOTATION_COLUMNS, columns, rows)

    def _copy_segmentation(self, table: str) -> None:
        whole = self._floor
        roots = [whole.history.root_id(nodes) for nodes in whole.nodes]
        ids = (whole.syn.ids, whole.sv[0], roots[0], whole.sv[1], roots[1])

        def columns(first: int, last: int) -> list[Any]:
            return [self._binary.int8(values[first:last]) for values in ids]

        whole.copy_in(self._cursor, table, _SEGMENTATION_COLUMNS, columns, whole.n)

    def _timed(self, deed: Callable[[], object]) -> Cost:
        self._keep("part", deed)
        return self._costs["part"]

    def _keep(self, name: str, deed: Callable[[], object]) -> None:
        """In place of the floor program's stopwatch."""
        cpu = self._server_cpu() + time.process_time()
        began = time.perf_counter()
        deed()
        seconds = time.perf_counter() - began
        self._costs[name] = Cost(seconds, self._server_cpu() + time.process_time() - cpu)

    def _drop(self) -> None:
        for name in (DATABASE, COPY):
            self._admin.execute(f"drop database if exists {name} with (force)")
