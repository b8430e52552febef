"""Names of databases, tables and indexes: built here and nowhere else (workflows.md 1.1, 1.5)."""

from __future__ import annotations

import hashlib
import re

from .errors import BadName

MAX_IDENTIFIER = 63
"""Bytes of an identifier that PostgreSQL keeps; it cuts the rest off in silence."""

_TABLE = re.compile(r"[a-z_][a-z0-9_]*")


def bounded(identifier: str) -> str:
    """Shorten an identifier to 63 bytes; a longer one ends in a hash, so two never become one."""
    raw = identifier.encode()
    if len(raw) <= MAX_IDENTIFIER:
        return identifier
    digest = hashlib.sha256(raw).hexdigest()[:8]
    return raw[: MAX_IDENTIFIER - 9].decode(errors="ignore") + "_" + digest


def check_table_name(name: str, pcg_table: str = "") -> str:
    """Return `name` if it may name an annotation table beside its segmentation table, else raise BadName."""
    if not _TABLE.fullmatch(name):
        raise BadName(f"table name {name!r}: {BadName.__doc__}", field="table_name")
    longest = segmentation_table(name, pcg_table) if pcg_table else name
    if len(longest.encode()) > MAX_IDENTIFIER:
        room = MAX_IDENTIFIER - (len(longest) - len(name))
        raise BadName(
            f"table name {name!r} has {len(name)} characters; with this segmentation it may have {room}",
            field="table_name",
        )
    return name


def segmentation_table(table: str, pcg_table: str) -> str:
    """The table that holds the supervoxel and root ids of `table`'s bound points."""
    return f"{table}__{pcg_table}"


def frozen_database(datastack: str, version: int) -> str:
    """The database of a published version. Raises BadName where PostgreSQL would cut the name off."""
    name = f"{datastack}__mat{version}"
    if len(name.encode()) > MAX_IDENTIFIER:
        told = f"datastack {datastack!r}: a database's name has at most {MAX_IDENTIFIER} bytes, and {name} has more"
        raise BadName(told, field="datastack")
    return name


def build_database(run: str, token: int) -> str:
    """The database in which a run builds a version; nothing reads it until it is renamed."""
    return f"matengine_build_{run}_{token}"


def btree_index(table: str, column: str) -> str:
    """Name of the B-tree on one column."""
    return bounded(f"ix_{table}_{column}")


def spatial_index(table: str, column: str) -> str:
    """Name of the spatial index on one geometry column."""
    return bounded(f"idx_{table}_{column}")
