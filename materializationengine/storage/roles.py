"""Database roles: an owner that nobody logs in as, the engine's, and that of the analysts, who only read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import psycopg2.extensions
from psycopg2.extensions import encrypt_password

from .engines import Cluster
from .live_database import MARK, TEMPLATE, make_template
from .sql import literal, quote, sql

OWNER = "matengine_owner"
ENGINE = "matengine_engine"
READER = "analysis_user"


def make_roles(cluster: Cluster, adopted: Sequence[str] = (), password: str | None = None) -> list[str]:
    """Make the roles and hand them the databases of this server; returns the databases' names.

    `adopted` are databases that CAVE made. `password` becomes the engine's; it reaches the server as its SCRAM
    digest, so that no log can show it. The caller is an administrator of the server. Safe to run twice.
    """
    make_template(cluster)
    with closing(cluster.raw(purpose="roles")) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(sql("roles", "make_roles"))
            if password is not None:
                cursor.execute(f"ALTER ROLE {ENGINE} PASSWORD {literal(_digest(admin, password))}")
            about = {"template": TEMPLATE, "adopted": list(adopted), "mark": MARK}
            cursor.execute(sql("roles", "databases"), about)
            names = [name for (name,) in cursor.fetchall()]
            for name in names:
                cursor.execute(f"ALTER DATABASE {quote(name)} OWNER TO {OWNER}")
            # Only a template can be copied by whoever does not own it.
            cursor.execute(f"ALTER DATABASE {quote(TEMPLATE)} IS_TEMPLATE true")
    for name in names:
        _hand_over(cluster, name)
    return names


def _digest(connection: psycopg2.extensions.connection, password: str) -> str:
    return str(encrypt_password(password, ENGINE, scope=connection, algorithm="scram-sha-256"))


def _hand_over(cluster: Cluster, database: str) -> None:
    with closing(cluster.raw(database, "roles")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            # Frozen databases are read-only until told otherwise.
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute("CREATE EXTENSION IF NOT EXISTS postgis")
            cursor.execute(sql("roles", "own_objects"))
