"""The writing half of the version registry: a version begins RUNNING, and ends AVAILABLE or FAILED."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..domain.datastack import Datastack
from ..domain.errors import StaleUnit
from ..domain.names import frozen_database
from ..domain.plan import Plan
from ..kernel import moments
from ..kernel.columns import Connection
from . import cell_segments
from .engines import Cluster
from .frozen_build import end_sessions
from .sql import quote, sql


@dataclass(frozen=True, slots=True)
class VerifiedTable:
    """A table that passed verification."""

    table: str
    schema: str
    rows: int
    digest: str
    facts: dict[str, Any]


def begin_version(connection: Connection, plan: Plan, expires_on: datetime | None) -> int:
    """Write the version's row as RUNNING and return its number, in the transaction that opens the run.

    Raises BadName for a datastack whose name leaves no room for the number.
    """
    expires = None if expires_on is None else moments.naive(expires_on)
    stack, moment, merged = plan.stack.name, moments.naive(plan.moment), not plan.version_plan.split
    number = int(connection.value(sql("frozen", "new_version"), stack, moment, expires, merged))
    frozen_database(stack, number)
    return number


def fail_version(connection: Connection, datastack: str, version: int, run_id: str, error: str) -> None:
    """Mark a version as FAILED and keep why; nothing is done to one that is not RUNNING."""
    row = connection.one(sql("frozen", "fail_version"), datastack, version)
    if row is not None:
        connection.execute(sql("frozen", "insert_version_error"), error.partition(":")[0], error, run_id, row[0])


def verified_tables(connection: Connection, run_id: str) -> list[VerifiedTable]:
    """What the run's verification found, table by table."""
    found = []
    for (text,) in connection.rows(sql("frozen", "verified_tables"), run_id):
        report = json.loads(text)
        names = (report.pop("table"), report.pop("schema"), report.pop("rows"), report.pop("digest"))
        found.append(VerifiedTable(*names, facts=report))
    return found


def write_metadata(
    cluster: Cluster,
    build: str,
    datastack: Datastack,
    as_of: datetime,
    merged: bool,
    tables: list[VerifiedTable],
) -> None:
    """Write `materializedmetadata` into the build."""
    with (
        closing(cluster.raw(build, "write metadata")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql("frozen", "create_materialized_metadata"))
        cursor.execute("DELETE FROM materializedmetadata")
        for table in tables:
            source = datastack.segmentation_source
            row = (table.schema, table.table, table.rows, moments.naive(as_of), source, merged)
            cursor.execute(sql("frozen", "insert_materialized_metadata"), row)


def grant_readers(cluster: Cluster, database: str) -> None:
    """Let the role `analysis_user` read every table, where the server has it; done twice is done once."""
    with closing(cluster.raw(database, "grant")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql("incremental", "grant_readers"))


def publish(
    cluster: Cluster, connection: Connection, plan: Plan, run: tuple[str, int], version: int, build: str
) -> str:
    """Make the version AVAILABLE and give the build its name, in the caller's transaction.

    `run` is the run's id and token: whoever lost either finds no row to change. Raises StaleUnit.
    """
    row = connection.one(sql("frozen", "lock_version"), plan.stack.name, version, *run)
    if row is None:
        raise StaleUnit
    noted = {cell_segments.FACT: True} if cell_segments.there(cluster, build) else {}
    for table in verified_tables(connection, run[0]):
        connection.execute(
            sql("frozen", "insert_analysis_table"),
            *(plan.stack.aligned_volume, table.schema, table.table, moments.naive(plan.moment), row[0]),
        )
        facts = json.dumps(table.facts | noted)
        connection.execute(sql("frozen", "insert_frozen_table"), row[0], table.table, table.rows, table.digest, facts)
    connection.execute(sql("frozen", "publish_version"), row[0])
    end_sessions(cluster, build)
    # Both belong to this transaction: a publication that dies here leaves a build that can be written again.
    connection.execute(f"ALTER DATABASE {quote(build)} SET default_transaction_read_only = on")
    final = frozen_database(plan.stack.name, version)
    connection.execute(f"ALTER DATABASE {quote(build)} RENAME TO {quote(final)}")
    return final
