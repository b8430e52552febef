"""What an estimate rests on: sizes of tables, free disk, earlier runs."""

from __future__ import annotations

from collections.abc import Iterable

from ..domain.estimate import TableSize
from ..domain.plan import RunKind, TablePlan
from ..kernel.columns import Connection, DriverError
from .engines import Cluster
from .sql import sql
from .tables import qualified

_COUNTED = 16_000_000
"""Bytes up to which a table that the planner never counted is counted whole; of a larger one, one page in 100."""


def sizes(connection: Connection, tables: Iterable[TablePlan]) -> list[TableSize]:
    """Rows and bytes, indexes included, of each table together with its segmentation table."""
    found = []
    for table in tables:
        names = [name for name in (table.name, table.segmentation) if name]
        there = {row[0]: row[1:] for row in connection.rows(sql("control", "table_sizes"), names)}
        if table.name in there:
            rows, held, uncounted = there[table.name]
            if uncounted:
                rows = _count(connection, table.name, held)
            found.append(TableSize(table.name, rows, sum(held for _, held, _ in there.values())))
    return found


def _count(connection: Connection, table: str, held: int) -> int:
    if held <= _COUNTED:
        return int(connection.value(f"SELECT count(*) FROM {qualified(table)}"))
    return 100 * int(connection.value(f"SELECT count(*) FROM {qualified(table)} TABLESAMPLE SYSTEM (1)"))


def free_bytes(cluster: Cluster) -> int | None:
    """Free bytes of the disk that holds the data, or None where the server does not let us look.

    It takes the right `pg_execute_server_program`, which a managed server does not give.
    """
    with cluster.connect(purpose="free disk") as connection:
        if not connection.value(sql("control", "may_run_programs")):
            return None
        try:
            connection.execute("CREATE TEMPORARY TABLE disk (line text)")
            # The server's working folder is its data folder.
            connection.execute("COPY pg_temp.disk FROM PROGRAM 'df -Pk .'")
            lines = [line for (line,) in connection.rows("SELECT line FROM pg_temp.disk")]
        except DriverError:
            return None
    return int(lines[-1].split()[3]) * 1024


def earlier(connection: Connection, kind: RunKind, datastack: str | None) -> list[tuple[int, float]]:
    """(rows, seconds) of the newest runs of this kind that succeeded."""
    return [(rows, spent) for rows, spent in connection.rows(sql("control", "finished_like"), str(kind), datastack)]
