"""How many rows a frozen table has: from the registry, or from what CAVE wrote into the version itself."""

from __future__ import annotations

from .read_pool import ReadPool
from .version_registry import Version, VersionTable

_COUNTED = """
SELECT max(row_count)::bigint FROM materializedmetadata WHERE table_name = $1
"""


def row_count(pool: ReadPool, version: Version, table: VersionTable) -> int | None:
    """Rows of a table, None where nobody counted. Raises StorageUnavailable where the version's database is gone."""
    if table.row_count is not None:
        return table.row_count
    counted = pool.value(version.database, _COUNTED, table.name)
    return None if counted is None else int(counted)  # type: ignore[call-overload]


def has_table(pool: ReadPool, version: Version, name: str) -> bool:
    """Whether the version's database has a relation of that name."""
    return bool(pool.value(version.database, "SELECT to_regclass(quote_ident($1)) IS NOT NULL", name))
