"""What runs leave behind when they are over: staging tables and builds. Dropped by whoever notices."""

from __future__ import annotations

import re

from ..kernel.columns import Connection
from .engines import Cluster
from .frozen_build import drop_build
from .live_database import live_databases
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

    Those of a run that failed less than `keep_failed` seconds ago stay, so that a resume finds them.
    A build of a run that this database does not know belongs to another live database and is left alone.
    """
    with cluster.connect(database, "janitor") as connection:
        stages = [name for (name,) in connection.rows(sql("catalog", "stage_tables"))]
        builds = [name for (name,) in connection.rows(sql("catalog", "build_databases"))]
        runs = {_run(_STAGE, name) for name in stages} | {_run(_BUILD, name) for name in builds}
        over = {run for (run,) in connection.rows(sql("ledger", "over_runs"), sorted(runs) or [""], keep_failed)}
        dropped = [name for name in stages if _run(_STAGE, name) in over]
        for name in dropped:
            connection.execute(f"DROP TABLE IF EXISTS {qualified(name, 'matengine')}")
        connection.commit()
    for build in (name for name in builds if _run(_BUILD, name) in over):
        drop_build(cluster, build)
        dropped.append(build)
    return dropped


def drop_orphans(cluster: Cluster) -> list[str]:
    """Drop builds whose run no live database knows: theirs was dropped by hand; returns their names.

    Builds are listed first. A run is in its ledger before it has a build, so whatever is listed was known by then.
    Raises StorageUnavailable where a live database cannot be asked, and drops nothing.
    """
    with cluster.connect(purpose="janitor") as connection:
        builds = [name for (name,) in connection.rows(sql("catalog", "build_databases"))]
    orphans = {_run(_BUILD, name): name for name in builds if _run(_BUILD, name)}
    for database in live_databases(cluster) if orphans else ():
        with cluster.connect(database, "janitor") as connection:
            for (run,) in connection.rows(sql("ledger", "known_runs"), sorted(orphans) or [""]):
                orphans.pop(run)
    for build in orphans.values():
        drop_build(cluster, build)
    return list(orphans.values())


def _run(pattern: re.Pattern[str], name: str) -> str:
    found = pattern.fullmatch(name)
    return found[1] if found else ""
