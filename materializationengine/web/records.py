"""Versions and tables in the form that clients read (rest_api 1.2): moments are naive UTC with six digits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..kernel import moments
from ..storage.models import AnnotationTable, SegmentationTable
from ..storage.version_registry import Version, VersionTable


def version_record(version: Version) -> dict[str, Any]:
    """A version."""
    return {
        "id": version.id,
        "datastack": version.datastack,
        "version": version.version,
        "time_stamp": moments.wire(version.time_stamp),
        "valid": version.valid,
        "expires_on": None if version.expires_on is None else moments.wire(version.expires_on),
        "parent_version": version.parent_version,
        "status": version.status.value,
        "is_merged": version.is_merged,
    }


def table_record(table: VersionTable, generation: int) -> dict[str, Any]:
    """A table of a version. v2 gives the name of the segmentation table, and the annotation table beside it."""
    record = {
        **metadata_record(table.annotation),
        "id": table.id,
        "aligned_volume": table.aligned_volume,
        "schema": table.schema,
        "valid": table.valid,
    }
    if table.segmentation is not None:
        record |= _segmentation(table.segmentation)
        if generation == 2:
            record |= {"table_name": table.segmentation.table_name, "annotation_table": table.name}
    return record


def metadata_record(table: AnnotationTable) -> dict[str, Any]:
    """What is known of a live table."""
    return {
        "id": table.id,
        "table_name": table.table_name,
        "schema": table.schema_type,
        "schema_type": table.schema_type,
        "valid": table.valid,
        "created": _moment(table.created),
        "user_id": table.user_id,
        "description": table.description,
        "notice_text": table.notice_text,
        "reference_table": table.reference_table,
        "flat_segmentation_source": table.flat_segmentation_source,
        "voxel_resolution_x": table.voxel_resolution_x,
        "voxel_resolution_y": table.voxel_resolution_y,
        "voxel_resolution_z": table.voxel_resolution_z,
        "write_permission": table.write_permission.value,
        "read_permission": table.read_permission.value,
        "last_modified": _moment(table.last_modified),
    }


def _segmentation(table: SegmentationTable) -> dict[str, Any]:
    return {
        "segmentation_source": table.segmentation_source,
        "pcg_table_name": table.pcg_table_name,
        "last_updated": _moment(table.last_updated),
    }


def _moment(stored: datetime | None) -> str | None:
    return None if stored is None else moments.wire(moments.aware(stored))


def notices(tables: list[VersionTable]) -> list[str]:
    """What the owners of tables want their readers to know, as texts of `Warning` headers."""
    return [
        f"Table Owner Notice on {table.name}: {' '.join(table.annotation.notice_text.split())}"
        for table in tables
        if table.annotation.notice_text
    ]
