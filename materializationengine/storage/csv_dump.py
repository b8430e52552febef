"""Tables of a version as files of comma-separated values, in a folder of this machine."""

from __future__ import annotations

import csv
import gzip
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .engines import Cluster
from .sql import literal, quote
from .tables import qualified

_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = {table}::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


@dataclass(frozen=True, slots=True)
class Dump:
    """A table's files: rows, gzipped and without a heading, and the heading by itself, as CAVE has them."""

    rows: Path
    header: Path
    fresh: bool


def dump_table(cluster: Cluster, database: str, table: str, folder: Path) -> Dump:
    """Write a table unless that was done before: a version does not change. Positions are hexadecimal EWKB.

    A file has its name only when it is whole. Raises StorageUnavailable, OSError.
    """
    rows, header = folder / f"{table}.csv.gz", folder / f"{table}_header.csv"
    if rows.is_file() and header.is_file():
        return Dump(rows, header, fresh=False)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{table}.{os.getpid()}.part"
    try:
        with closing(cluster.raw(database, "dump")) as connection, connection.cursor() as cursor:
            cursor.execute(_COLUMNS.format(table=literal(qualified(table))))
            names = [name for (name,) in cursor.fetchall()]
            listed = ", ".join(quote(name) for name in names)
            with gzip.open(part, "wb", compresslevel=1) as target:
                cursor.copy_expert(f"COPY {qualified(table)} ({listed}) TO STDOUT (FORMAT csv)", target)
        with header.open("w", newline="", encoding="utf-8") as target:
            csv.writer(target, lineterminator="\n").writerow(names)
        part.replace(rows)
    finally:
        part.unlink(missing_ok=True)
    return Dump(rows, header, fresh=True)
