"""Signs of life of the database."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from ..domain.errors import StorageUnavailable
from .engines import Cluster
from .live_database import live_databases


def ping(cluster: Cluster) -> None:
    """Raises StorageUnavailable unless the home database answers."""
    try:
        with cluster.engine().connect() as connection:
            connection.execute(text("SELECT 1"))
    except OperationalError as error:
        raise StorageUnavailable("the home database does not answer") from error


def count_versions(cluster: Cluster) -> dict[str, int]:
    """Versions ever begun in each live database but the home database, which belongs to no volume."""
    counted = {}
    for name in live_databases(cluster):
        if name != cluster.home:
            with cluster.engine(name).connect() as connection:
                counted[name] = int(connection.scalar(text("SELECT count(*) FROM analysisversion")) or 0)
    return counted
