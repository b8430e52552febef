"""What monitoring asks of the database server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.exc import ProgrammingError

from ..domain.figures import Debt, EndedRuns, LedgerFigures, OpenUnits, Presence, SizeFigures, Versions, Waiting, Worker
from ..kernel.columns import Connection
from .engines import Cluster
from .live_database import known_layouts, layout, live_databases
from .sql import sql

WORKER, BEAT = "matengine worker takes ", "matengine beat"
"""How the connections begin their names by which a worker and a beat are known to be there."""


@dataclass(frozen=True, slots=True)
class Server:
    """The database server and the role that the engine has on it; `now` in Unix seconds by its clock."""

    version: int
    now: float
    role: str
    superuser: bool
    may_create: bool
    postgis: str | None
    analysis_role: bool


def server(cluster: Cluster) -> Server:
    """The server as it stands. Raises StorageUnavailable."""
    with cluster.connect(purpose="watch") as connection:
        row = connection.one(sql("watch", "server"))
    if row is None:
        raise LookupError("the engine's role is not among the server's roles")
    return Server(*row)


def layouts(cluster: Cluster) -> dict[str, str | None]:
    """The layout of each live database; None where it has none that our role may read."""
    return {name: _readable_layout(cluster, name) for name in live_databases(cluster)}


def _readable_layout(cluster: Cluster, database: str) -> str | None:
    try:
        return layout(cluster, database).current
    except ProgrammingError:
        return None


def without_postgis(cluster: Cluster) -> tuple[str, ...]:
    """Live databases that lack PostGIS."""
    return tuple(name for name in live_databases(cluster) if _lacks_postgis(cluster, name))


def _lacks_postgis(cluster: Cluster, database: str) -> bool:
    with cluster.connect(database, "watch") as connection:
        return connection.one(sql("watch", "postgis")) is None


def presence(cluster: Cluster) -> Presence:
    """Workers and beats that are there now: the server drops a session with its process."""
    with cluster.connect(purpose="watch") as connection:
        workers = [name for name, _ in connection.rows(sql("watch", "sessions"), WORKER)]
        ticks = [since for _, since in connection.rows(sql("watch", "sessions"), BEAT)]
    return Presence(tuple(sorted(map(_worker, workers), key=lambda one: one.host)), tuple(ticks))


def _worker(name: str) -> Worker:
    queues, _, host = name.removeprefix(WORKER).partition(" ")
    return Worker(host, tuple(queues.split(",")))


def ledger_figures(cluster: Cluster, resend: float) -> LedgerFigures:
    """Open ends of every ledger. `resend`: seconds before a message is first sent again."""
    units: list[OpenUnits] = []
    waiting: list[Waiting] = []
    ended: list[EndedRuns] = []
    versions: list[Versions] = []
    for database in _laid_out(cluster):
        with cluster.connect(database, "watch") as connection:
            units += [OpenUnits(*row) for row in connection.rows(sql("watch", "open_units"))]
            waiting += [Waiting(*row) for row in connection.rows(sql("watch", "waiting"), resend)]
            ended += [EndedRuns(*row) for row in connection.rows(sql("watch", "ended"))]
            versions += [Versions(*row) for row in connection.rows(sql("watch", "versions"))]
    return LedgerFigures(tuple(units), tuple(waiting), tuple(ended), tuple(versions))


def size_figures(cluster: Cluster) -> SizeFigures:
    """Bytes, and ids that are owed."""
    live = _laid_out(cluster)
    tables: dict[tuple[str, str], int] = {}
    owed: list[Debt] = []
    for database in live:
        with cluster.connect(database, "watch") as connection:
            tables |= {(database, name): size for name, size in connection.rows(sql("watch", "table_bytes"))}
            owed += [Debt(database, *row) for row in connection.rows(sql("watch", "owed"))]
    with cluster.connect(purpose="watch") as connection:
        databases = _database_bytes(connection, live)
    return SizeFigures(databases, tables, tuple(owed))


def _database_bytes(connection: Connection, live: Iterable[str]) -> dict[str, int]:
    # An empty list has no type on the wire; no database has the name ''.
    return dict(connection.rows(sql("watch", "database_bytes"), list(live) or [""]))


def _laid_out(cluster: Cluster) -> tuple[str, ...]:
    """Live databases of today's layout; one that waits for its upgrade has no figures, and its check is red."""
    return tuple(name for name, found in layouts(cluster).items() if found == known_layouts()[0])
