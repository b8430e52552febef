"""The backends: one connection each to SQLite, PostgreSQL, or MySQL and MariaDB."""

from __future__ import annotations

from ..config import L1dbConfig
from .base import Session

__all__ = ["Session", "open_session"]


def open_session(config: L1dbConfig) -> Session:
    """The session for the address in `config`; it connects when it is first used."""
    # Imported here, so that the driver of one backend need not be installed for another.
    if config.backend == "postgresql":
        from .postgres import PostgresSession

        return PostgresSession(config)
    if config.backend == "mysql":
        from .mysql import MySqlSession

        return MySqlSession(config)
    from .sqlite import SqliteSession

    return SqliteSession(config)
