"""The floor: what bare SQL costs for the same rows, each part of it beside the engine's part that it is the floor of.

So both meet the same load of the machine. The statements stand in `floor_sql`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from typing import Any

import numpy as np
import psycopg2

from . import floor_sql as sql
from .binary import Field, Sink, Stream, boolean, float8, int8, point_z, timestamp
from .root_history import RootHistory, root_id
from .workload import Synapses, supervoxels

DATABASE, COPY = "bench_floor", "bench_floor_copy"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the clock, and CPU seconds of client and server together."""

    seconds: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.cpu + other.cpu)


class Floors:
    """The floor of each part, measured anew at each call.

    Parameters: `dsn`, the cluster's address without a database; `born`, microseconds at which rows and roots came to
    be; `server_cpu` tells the CPU seconds of the server so far.
    """

    def __init__(
        self, dsn: str, synapses: Synapses, history: RootHistory, born: int, server_cpu: Callable[[], float]
    ) -> None:
        self._dsn, self._synapses, self._history, self._born = dsn, synapses, history, born
        self._supervoxels = [supervoxels(points) for points in (synapses.pre, synapses.post)]
        self._nodes = [history.nodes(ids, born) for ids in self._supervoxels]
        self._server_cpu = server_cpu
        self._admin: Any = None
        self._cursor: Any = None

    def open(self) -> None:
        """Make the floor's database."""
        self._admin = self._connect("postgres")
        self._drop()
        self._admin.execute(f"CREATE DATABASE {DATABASE}")
        self._cursor = self._connect(DATABASE)
        self._cursor.execute("CREATE EXTENSION postgis")

    def close(self) -> None:
        """Drop it."""
        self._cursor.connection.close()
        self._drop()
        self._admin.connection.close()

    def bulk_upload(self) -> Cost:
        """COPY both tables, the segmentation's indexes, and six indexes of the merged table."""
        self._cursor.execute("DROP TABLE IF EXISTS ann, seg, merged")
        self._cursor.execute(f"CREATE TABLE ann ({sql.ANNOTATION}); CREATE TABLE seg ({sql.SEGMENTATION})")
        spent = self._timed(self._copy_annotation) + self._timed(lambda: self._copy_segmentation("seg"))
        self._cursor.execute("ALTER TABLE ann ADD PRIMARY KEY (id)")
        spent += self._timed(lambda: self._indexes("seg", sql.SEGMENTATION_INDEXES, 1))
        self._cursor.execute("VACUUM ANALYZE")
        self._cursor.execute("CHECKPOINT")
        self._cursor.execute(sql.MERGE)
        return spent + self._timed(lambda: self._indexes("merged", sql.MERGED_INDEXES, 2))

    def ingest(self) -> Cost:
        """COPY positions out, COPY ids in, three indexes."""
        self._cursor.execute(f"DROP TABLE IF EXISTS filled; CREATE TABLE filled ({sql.SEGMENTATION})")
        spent = self._timed(lambda: self._cursor.copy_expert(sql.COPY_OUT, Sink()))
        spent += self._timed(lambda: self._copy_segmentation("filled"))
        spent += self._timed(lambda: self._indexes("filled", sql.SEGMENTATION_INDEXES, 1))
        self._cursor.execute("DROP TABLE filled")
        return spent

    def freeze(self) -> Cost:
        """CREATE DATABASE from a template, CREATE TABLE AS, six indexes on two connections."""
        self._cursor.execute("DROP TABLE IF EXISTS merged")
        self._cursor.connection.close()
        self._admin.execute("CHECKPOINT")
        spent = self._timed(lambda: self._admin.execute(f"CREATE DATABASE {COPY} TEMPLATE {DATABASE} STRATEGY wal_log"))
        self._admin.execute(f"DROP DATABASE {COPY} WITH (FORCE)")
        self._cursor = self._connect(DATABASE)
        spent += self._timed(lambda: self._cursor.execute(sql.MERGE))
        return spent + self._timed(lambda: self._indexes("merged", sql.MERGED_INDEXES, 2))

    def update(self, fraction: float) -> Cost:
        """COPY the staged map, UPDATE .. FROM on the indexed table."""
        picked = self._history.touching(self._nodes, fraction, seed=5)
        hit = [np.isin(nodes, picked) for nodes in self._nodes]
        rows = np.flatnonzero(hit[0] | hit[1])
        # Any other roots will do: the floor writes, it doesn't think.
        roots = [root_id(nodes[rows] + 10_000_000 * one[rows]) for one, nodes in zip(hit, self._nodes, strict=True)]
        self._cursor.execute("DROP TABLE IF EXISTS edited, changed; CREATE TABLE edited AS TABLE seg")
        self._indexes("edited", sql.SEGMENTATION_INDEXES, 2)
        self._cursor.execute("VACUUM ANALYZE edited")
        self._cursor.execute("CHECKPOINT")
        spent = self._timed(lambda: self._stage([self._synapses.ids[rows], *roots]))
        spent += self._timed(lambda: self._cursor.execute(sql.UPDATE))
        self._cursor.execute("DROP TABLE changed, edited")
        return spent

    def complete(self, fraction: float) -> Cost:
        """An update and a freeze."""
        return self.update(fraction) + self.freeze()

    def _stage(self, columns: list[Any]) -> None:
        self._cursor.execute(sql.STAGE)
        self._copy_in(
            "changed", "id, pre, post", lambda low, high: [int8(each[low:high]) for each in columns], len(columns[0])
        )
        self._cursor.execute("ANALYZE changed")

    def _copy_annotation(self) -> None:
        synapses = self._synapses

        def columns(low: int, high: int) -> list[Field]:
            part, count = slice(low, high), high - low
            return [
                int8(synapses.ids[part]),
                timestamp(np.full(count, self._born, dtype=np.int64)),
                boolean(np.ones(count)),
                *(point_z(points[part]) for points in (synapses.pre, synapses.post, synapses.ctr)),
                float8(synapses.size[part]),
            ]

        self._copy_in("ann", sql.ANNOTATION_COLUMNS, columns, len(synapses))

    def _copy_segmentation(self, table: str) -> None:
        roots = [root_id(nodes) for nodes in self._nodes]
        ids = (self._synapses.ids, self._supervoxels[0], roots[0], self._supervoxels[1], roots[1])
        self._copy_in(
            table,
            sql.SEGMENTATION_COLUMNS,
            lambda low, high: [int8(each[low:high]) for each in ids],
            len(self._synapses),
        )

    def _copy_in(self, table: str, names: str, columns: Callable[[int, int], list[Field]], count: int) -> None:
        self._cursor.copy_expert(
            f"COPY {table} ({names}) FROM STDIN (FORMAT binary)", Stream(columns, count), size=1 << 20
        )

    def _indexes(self, table: str, statements: Sequence[str], connections: int) -> None:
        idle: Queue[Any] = Queue()
        for _ in range(connections):
            idle.put(self._connect(DATABASE))

        def work(statement: str) -> None:
            cursor = idle.get()
            try:
                cursor.execute(statement.format(table))
            finally:
                idle.put(cursor)

        with ThreadPoolExecutor(connections) as pool:
            # The longest stand last.
            list(pool.map(work, reversed(statements)))
        for _ in range(connections):
            idle.get().connection.close()

    def _timed(self, deed: Callable[[], object]) -> Cost:
        cpu, began = self._server_cpu() + time.process_time(), time.perf_counter()
        deed()
        seconds = time.perf_counter() - began
        return Cost(seconds, self._server_cpu() + time.process_time() - cpu)

    def _connect(self, database: str) -> Any:
        connection = psycopg2.connect(f"{self._dsn}/{database}")
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SET maintenance_work_mem = '1GB'")
        return cursor

    def _drop(self) -> None:
        for name in (DATABASE, COPY):
            self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
