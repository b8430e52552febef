"""The tables as SQLAlchemy sees them: types, keys and indexes for each index option and backend."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from .config import L1dbConfig, ObjectIndex, Partition, SourceSelect
from .tables import (
    DIA_FORCED_SOURCE,
    DIA_OBJECT,
    DIA_OBJECT_MATCH,
    DIA_SOURCE,
    METADATA_TABLE,
    NIGHTLY,
    SS_OBJECT,
    TILES,
    VISITS,
    Column,
    TableDef,
    last_table,
)

_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    # In SQLite only INTEGER can be the row's own number, which spares the table a second tree.
    "L": sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    "I": sa.Integer(),
    "D": sa.Double().with_variant(sa.REAL(), "sqlite"),
    "F": sa.REAL().with_variant(mysql.FLOAT(), "mysql", "mariadb"),
    "T": sa.TIMESTAMP().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"),
    "B": sa.LargeBinary(),
}
_OBJECT, _START, _END, _HTM, _VISIT, _TIME = (
    *("diaObjectId", "validityStart", "validityEnd", "htmId20", "ccdVisitId", "midPointTai"),
)


def build(config: L1dbConfig) -> sa.MetaData:
    """All tables that `config` asks for."""
    metadata = sa.MetaData()
    maker = _Maker(metadata, config)
    maker.objects()
    maker.sources()
    maker.table(SS_OBJECT, ["ssObjectId"])
    match = maker.table(DIA_OBJECT_MATCH, [])
    for column in ("diaObjectId", "objectId"):
        sa.Index(f"IDX_DiaObjectToObjectMatch_{column}", match.c[column])
    visits = maker.table(VISITS, ["visitId"])
    sa.Index("IDX_L1DbProtoVisits_visitTime", visits.c["visitTime"])
    maker.table(TILES, ["visitId", "tile"])
    sa.Table(
        METADATA_TABLE,
        metadata,
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("value", sa.String(128), nullable=False),
        mysql_engine="InnoDB",
    )
    return metadata


def table_names() -> tuple[str, ...]:
    """Names of all tables of any configuration, for dropping and for recognizing a strange database."""
    objects = (DIA_OBJECT.name, "DiaObjectLast", NIGHTLY.name)
    rest = (DIA_SOURCE, DIA_FORCED_SOURCE, SS_OBJECT, DIA_OBJECT_MATCH, VISITS, TILES)
    return (*objects, *(table.name for table in rest), METADATA_TABLE)


class _Maker:
    def __init__(self, metadata: sa.MetaData, config: L1dbConfig) -> None:
        self._metadata = metadata
        self._config = config
        self._postgres = config.backend == "postgresql"

    def table(self, table: TableDef, key: list[str], **options: Any) -> sa.Table:
        """One table with its primary key; no column counts up by itself."""
        constraint = [sa.PrimaryKeyConstraint(*key, name=f"PK_{table.name}")] if key else []
        return sa.Table(
            table.name,
            self._metadata,
            *(_column(column) for column in table.columns),
            *constraint,
            mysql_engine="InnoDB",
            **options,
        )

    def objects(self) -> None:
        """`DiaObject`, and `DiaObjectLast` and `DiaObjectNightly` where asked for."""
        if self._config.dia_object_index is ObjectIndex.HTM20_ID_IOV:
            objects = self.table(DIA_OBJECT, [_HTM, _OBJECT, _START])
            self._index(objects, _OBJECT)
        else:
            objects = self.table(DIA_OBJECT, [_OBJECT, _START])
            self._index(objects, _START, brin=True)
        if self._config.has_last:
            self._last()
        else:
            self._open_versions(objects)
        if self._config.dia_object_nightly:
            self.table(NIGHTLY, [])

    def _last(self) -> None:
        # Keyed by the object alone, so that one which moves to another trixel replaces its row. The room left in
        # each page lets an unmoved object be rewritten beside its old row without touching an index (measured:
        # four times faster).
        options: dict[str, Any] = {}
        if self._postgres:
            options = {"postgresql_with": {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.05}}
        self._index(self.table(last_table(self._config.read_full_objects), [_OBJECT], **options), _HTM)

    def _open_versions(self, objects: sa.Table) -> None:
        """Indexes to find the open versions: by object, which is also the law that there is one, and by trixel."""
        if self._config.backend == "mysql":
            self._index(objects, _HTM)
            return
        unended = objects.c[_END].is_(None)
        where: dict[str, Any] = {"postgresql_where": unended, "sqlite_where": unended}
        sa.Index("UX_DiaObject_open", objects.c[_OBJECT], unique=True, **where)
        sa.Index("IDX_DiaObject_htmId20", objects.c[_HTM], **where)

    def sources(self) -> None:
        """`DiaSource` and `DiaForcedSource`, by month where asked for; a partition key must be in the primary key."""
        monthly = self._config.partition is Partition.MONTH
        options = {"postgresql_partition_by": f'RANGE ("{_TIME}")'} if monthly else {}
        time = [_TIME] if monthly else []
        sources = self.table(DIA_SOURCE, ["diaSourceId", *time], **options)
        self._index(sources, _OBJECT)
        self._index(sources, _VISIT, brin=True)
        present = sources.c["ssObjectId"].is_not(None)
        sa.Index(
            "IDX_DiaSource_ssObjectId",
            sources.c["ssObjectId"],
            postgresql_where=present,
            sqlite_where=present,
        )
        # An index on a random column is what a store pays for most, and only by-fov reads it.
        if self._config.source_select is SourceSelect.BY_FOV:
            self._index(sources, _HTM)
        forced = self.table(DIA_FORCED_SOURCE, [_OBJECT, _VISIT, *time], **options)
        self._index(forced, _VISIT, brin=True)

    def _index(self, table: sa.Table, column: str, *, brin: bool = False) -> None:
        # Rows arrive in the order of their time and visit, which block ranges find at a thousandth of a tree's cost.
        options: dict[str, Any] = {"postgresql_using": "brin"} if brin and self._postgres else {}
        sa.Index(f"IDX_{table.name}_{column}", table.c[column], **options)


def _column(column: Column) -> sa.Column[Any]:
    return sa.Column(column.name, _TYPES[column.kind], nullable=column.nullable, autoincrement=False)
