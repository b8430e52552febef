"""Bodies of the annotation service, as marshmallow schemas."""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from ..storage.models import Permission

_PERMISSIONS = validate.OneOf([permission.value for permission in Permission])
_ID = validate.Range(1, 2**63 - 1)


class _UserId(fields.Field[str]):
    """A user's number; the client sends it as such, the table holds it as a text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
            raise ValidationError("Must be a user id.")
        return str(value).strip()


class ReferenceBody(Schema):
    """To which table the rows of a reference table point."""

    class Meta:
        """Settings of marshmallow."""

        unknown = RAISE

    reference_table = fields.String(allow_none=True)
    track_target_id_updates = fields.Boolean(allow_none=True)


def _resolution() -> fields.Float:
    return fields.Float(required=True, allow_nan=False, validate=validate.Range(0, min_inclusive=False))


class TableMetadata(Schema):
    """What the author of a table says of it."""

    class Meta:
        """Settings of marshmallow."""

        unknown = RAISE

    description = fields.String(required=True, validate=validate.Length(min=1))
    voxel_resolution_x = _resolution()
    voxel_resolution_y = _resolution()
    voxel_resolution_z = _resolution()
    read_permission = fields.String(load_default=Permission.PUBLIC.value, validate=_PERMISSIONS)
    write_permission = fields.String(load_default=Permission.PRIVATE.value, validate=_PERMISSIONS)
    user_id = _UserId(allow_none=True)
    notice_text = fields.String(allow_none=True)
    flat_segmentation_source = fields.String(allow_none=True, validate=validate.Length(max=300))
    reference_table = fields.String(allow_none=True)
    table_metadata = fields.Nested(ReferenceBody, allow_none=True)


class MetadataChanges(TableMetadata):
    """Any part of it."""


class CreateTable(Schema):
    """A table to be made."""

    class Meta:
        """Settings of marshmallow."""

        unknown = RAISE

    schema_type = fields.String(required=True)
    table_name = fields.String(required=True)
    metadata = fields.Nested(TableMetadata, required=True)


class ChangeMetadata(Schema):
    """Metadata to be changed; which of it may be is for the storage room to say."""

    class Meta:
        """Settings of marshmallow."""

        unknown = RAISE

    table_name = fields.String(required=True)
    metadata = fields.Nested(MetadataChanges(partial=True), required=True)


class Annotations(Schema):
    """Annotations as their schema has them."""

    class Meta:
        """Settings of marshmallow. Older clients send more than this."""

        unknown = EXCLUDE

    annotations = fields.List(fields.Dict(keys=fields.String()), required=True)


class AnnotationIds(Schema):
    """Ids of annotations."""

    class Meta:
        """Settings of marshmallow."""

        unknown = EXCLUDE

    annotation_ids = fields.List(fields.Integer(strict=True, validate=_ID), required=True)


class AnnotationIdList(Schema):
    """Ids of annotations in a query string, separated by commas."""

    annotation_ids = fields.String(required=True, validate=validate.Regexp(r"\s*\d{1,19}(\s*,\s*\d{1,19})*\s*\Z"))
