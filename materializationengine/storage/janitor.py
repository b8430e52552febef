"""What runs leave behind when they are over: staging tables and builds. Dropped by whoever notices."""

from __future__ import annotations

import re

from ..kernel.columns import Connection
from .engines import Cluster
from .frozen_build import VERSION_OF, drop_build
from .sql import sql
from .tables import qualified

_STAGE = re.compile(r"stage_([0-9a-f]{12})_\w+")
_BUILD = re.compile(r"matengine_build_([0-9a-f]{12})_\d+")


def has_work(connection: Connection) -> bool:
    """Whether there is a staging table here or a build anywhere; reads catalogs only, and commits."""
    found = connection.value(sql("catalog", "leftovers"))
    connection.commit()
    return bool(found)


def clean(cluster: Cluster, database: str, keep_failed: float = 0.0) -> list[str]:
    """Drop staging tables and builds of this live database's runs that are over; returns their names.

    A build of a run that this database does not know belongs to another live database and is left alone, unless that
    one is gone. Those of a run that failed less than `keep_failed` seconds ago stay, so that a resume finds them.
    """
    with cluster.connect(database, "janitor") as connection:
        stages = [name for (name,) in connection.rows(sql("catalog", "stage_tables"))]
        builds = [name for (name,) in connection.rows(sql("catalog", "build_databases"))]
        runs = {_run(_STAGE, name) for name in stages} | {_run(_BUILD, name) for name in builds}
        orphans = [name for (name,) in connection.rows(sql("catalog", "orphaned_builds"), VERSION_OF)]
        over = {run for (run,) in connection.rows(sql("ledger", "over_runs"), sorted(runs) or [""], keep_failed)}
        dropped = [name for name in stages if _run(_STAGE, name) in over]
        for name in dropped:
            connection.execute(f"DROP TABLE IF EXISTS {qualified(name, 'matengine')}")
        connection.commit()
    for build in (name for name in builds if _run(_BUILD, name) in over or name in orphans):
        drop_build(cluster, build)
        dropped.append(build)
    return dropped


def _run(pattern: re.Pattern[str], name: str) -> str:
    found = pattern.fullmatch(name)
    return found[1] if found else ""
