"""The fixed tables of a live database, in CAVE's layout (workflows.md 1.2-1.3).

Web requests read them through sessions; the migrations make them. Timestamps are naive UTC.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    Index,
    String,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class VersionStatus(enum.StrEnum):
    """Where a version stands; only AVAILABLE ones are read."""

    AVAILABLE = "AVAILABLE"
    RUNNING = "RUNNING"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"


class Permission(enum.StrEnum):
    """Who may read or write a table: its owner, who shares a group with the owner, everybody."""

    PRIVATE = "PRIVATE"
    GROUP = "GROUP"
    PUBLIC = "PUBLIC"


class Base(DeclarativeBase):
    """The live database's fixed tables."""


_STATUS = Enum(VersionStatus, name="version_status", create_type=False)
_PERMISSION = Enum(Permission, name="readwrite_permission", create_type=False)


class AnalysisVersion(Base):
    """A frozen version, or a virtual one that points at its parent."""

    __tablename__ = "analysisversion"
    __table_args__ = (Index("analysisversion_datastack_version_key", "datastack", "version", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    datastack: Mapped[str] = mapped_column(String(100))
    version: Mapped[int]
    time_stamp: Mapped[datetime]
    valid: Mapped[bool | None]
    expires_on: Mapped[datetime | None]
    parent_version: Mapped[int | None] = mapped_column(ForeignKey("analysisversion.id"))
    status: Mapped[VersionStatus] = mapped_column(_STATUS)
    is_merged: Mapped[bool | None]


class AnalysisTable(Base):
    """A table of a version; `created` is the version's moment."""

    __tablename__ = "analysistables"

    id: Mapped[int] = mapped_column(primary_key=True)
    aligned_volume: Mapped[str] = mapped_column(String(100))
    schema: Mapped[str] = mapped_column(String(100))
    table_name: Mapped[str] = mapped_column(String(100))
    valid: Mapped[bool | None]
    created: Mapped[datetime]
    analysisversion_id: Mapped[int | None] = mapped_column(ForeignKey("analysisversion.id"))


class VersionError(Base):
    """Why a version failed."""

    __tablename__ = "version_error"

    id: Mapped[int] = mapped_column(primary_key=True)
    exception: Mapped[str | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    analysisversion_id: Mapped[int | None] = mapped_column(ForeignKey("analysisversion.id"))


class AnnotationTable(Base):
    """What is known of an annotation table; `deleted` is the mark of a removed one."""

    __tablename__ = "annotation_table_metadata"

    id: Mapped[int] = mapped_column(primary_key=True)
    schema_type: Mapped[str] = mapped_column(String(100))
    table_name: Mapped[str] = mapped_column(String(100), unique=True)
    valid: Mapped[bool | None]
    created: Mapped[datetime]
    deleted: Mapped[datetime | None]
    user_id: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text)
    notice_text: Mapped[str | None] = mapped_column(Text)
    reference_table: Mapped[str | None] = mapped_column(String(100))
    flat_segmentation_source: Mapped[str | None] = mapped_column(String(300))
    voxel_resolution_x: Mapped[float] = mapped_column(Double)
    voxel_resolution_y: Mapped[float] = mapped_column(Double)
    voxel_resolution_z: Mapped[float] = mapped_column(Double)
    write_permission: Mapped[Permission] = mapped_column(_PERMISSION)
    read_permission: Mapped[Permission] = mapped_column(_PERMISSION)
    last_modified: Mapped[datetime]


class SegmentationTable(Base):
    """What is known of a segmentation table; every root in it is the root at `last_updated`."""

    __tablename__ = "segmentation_table_metadata"

    id: Mapped[int] = mapped_column(primary_key=True)
    schema_type: Mapped[str] = mapped_column(String(100))
    table_name: Mapped[str] = mapped_column(String(100), unique=True)
    valid: Mapped[bool | None]
    created: Mapped[datetime]
    deleted: Mapped[datetime | None]
    segmentation_source: Mapped[str | None] = mapped_column(String(255))
    pcg_table_name: Mapped[str] = mapped_column(String(255))
    last_updated: Mapped[datetime | None]
    annotation_table: Mapped[str | None] = mapped_column(
        String(100), ForeignKey("annotation_table_metadata.table_name")
    )


class CombinedTable(Base):
    """Part of CAVE's layout; neither system reads it."""

    __tablename__ = "combined_table_metadata"
    __table_args__ = (CheckConstraint("reference_table <> annotation_table", name="not_self_referenced"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    reference_table: Mapped[str | None] = mapped_column(String(100), ForeignKey("annotation_table_metadata.table_name"))
    annotation_table: Mapped[str | None] = mapped_column(
        String(100), ForeignKey("annotation_table_metadata.table_name")
    )
    valid: Mapped[bool | None]
    created: Mapped[datetime]
    deleted: Mapped[datetime | None]
    description: Mapped[str] = mapped_column(Text)


class AnalysisView(Base):
    """A view that versions offer."""

    __tablename__ = "analysisviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    table_name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(Text)
    datastack_name: Mapped[str] = mapped_column(String(100))
    voxel_resolution_x: Mapped[float] = mapped_column(Double)
    voxel_resolution_y: Mapped[float] = mapped_column(Double)
    voxel_resolution_z: Mapped[float] = mapped_column(Double)
    notice_text: Mapped[str | None] = mapped_column(Text)
    live_compatible: Mapped[bool]


class Pin(Base):
    """A version that is kept whatever its expiry."""

    __tablename__ = "pin"
    __table_args__ = ({"schema": "matengine"},)

    analysisversion_id: Mapped[int] = mapped_column(
        ForeignKey("analysisversion.id", ondelete="CASCADE"), primary_key=True
    )
    pinned_by: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class FrozenTable(Base):
    """What a version's verification found of one table: counts, digest, what is still owed."""

    __tablename__ = "frozen_table"
    __table_args__ = ({"schema": "matengine"},)

    analysisversion_id: Mapped[int] = mapped_column(
        ForeignKey("analysisversion.id", ondelete="CASCADE"), primary_key=True
    )
    table_name: Mapped[str] = mapped_column(Text, primary_key=True)
    row_count: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
