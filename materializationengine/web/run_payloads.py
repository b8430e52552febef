"""Bodies and arguments that start runs, as marshmallow schemas; each becomes a `RunRequest`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from ..domain.plan import RunKind
from ..kernel import moments
from ..workflows.requests import RunRequest, UploadRequest


class Moment(fields.Field[datetime]):
    """A moment in ISO 8601, UTC where it names no zone."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> datetime:
        try:
            return moments.parse(value)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise ValidationError("Must be a moment like 2026-01-31T12:00:00+00:00.") from error


class Id(fields.Integer):
    """A whole number that fits 64 bits; never a float, which may have lost digits."""

    def __init__(self) -> None:
        super().__init__(strict=True, validate=validate.Range(0, 2**63 - 1))

    def _validated(self, value: Any) -> Any:
        if isinstance(value, float):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Stamp(fields.Float):
    """Seconds since 1970, of a moment that a calendar has."""

    def __init__(self) -> None:
        super().__init__(allow_none=True, allow_nan=False, validate=validate.Range(0, 253402300799))


def _number(least: int | None = None, most: int = 2**31 - 1, **options: Any) -> fields.Integer:
    """A whole number that a column of 32 bits holds."""
    lowest = -(2**31) if least is None else least
    return fields.Integer(strict=True, validate=validate.Range(lowest, most), **options)


class _Mapping(fields.Field[dict[str, Any]]):
    """`{file: column}` or `{file: [columns]}`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> dict[str, Any]:
        if isinstance(value, dict) and value and all(_is_target(target) for target in value.values()):
            return value
        raise ValidationError("Must be an object of file name and column, or list of columns.")


def _is_target(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
    )


class UploadBody(Schema):
    """A bulk upload."""

    class Meta:
        """Settings of marshmallow."""

        unknown = RAISE

    table = fields.String(required=True)
    schema = fields.String(required=True)
    path = fields.String(required=True, metadata={"description": "folder or URL of the .npy files"})
    mapping = _Mapping(required=True, metadata={"description": "{file: column or [columns]}"})
    created = Moment(allow_none=True)
    roots_as_of = Moment(allow_none=True)
    resolution = fields.List(
        fields.Float(validate=validate.Range(0, min_inclusive=False), allow_nan=False),
        validate=validate.Length(equal=3),
        allow_none=True,
    )
    description = fields.String(load_default="")
    reference_table = fields.String(allow_none=True)
    force = fields.Boolean(load_default=False)


class RunBody(Schema):
    """A run to be started."""

    class Meta:
        """Settings of marshmallow."""

        unknown = RAISE

    kind = fields.String(required=True, validate=validate.OneOf([kind.value for kind in RunKind]))
    datastack = fields.String(allow_none=True)
    timestamp = Moment(allow_none=True, metadata={"description": "the moment that the run makes true"})
    table = fields.String(allow_none=True)
    expires_in_days = _number(0, 100_000, allow_none=True)
    split = fields.Boolean(load_default=False)
    everything = fields.Boolean(load_default=False, metadata={"description": "look up all roots, expired or not"})
    annotation_ids = fields.List(Id(), allow_none=True, metadata={"description": "only these rows of `table`"})
    bad_roots = fields.List(Id(), load_default=list, metadata={"description": "roots to take away from `table`"})
    keep = _number(1, allow_none=True, metadata={"description": "newest versions that a retirement leaves alone"})
    upload = fields.Nested(UploadBody, allow_none=True)
    base_version = _number(allow_none=True, metadata={"description": "of an incremental run"})
    mends = _number(allow_none=True, metadata={"description": "version to mend, instead of a new one"})
    phases = fields.List(
        _number(1, 4), validate=validate.Length(max=4), allow_none=True, metadata={"description": "of 1, 2, 3 and 4"}
    )
    rebuilds = _number(allow_none=True, metadata={"description": "version whose lost database a freeze makes anew"})


class ListOptions(Schema):
    """Which runs are wanted."""

    datastack = fields.String(allow_none=True, load_default=None)
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 1000))


class TriggerOptions(Schema):
    """What v2 triggers take, in the query or in the body."""

    class Meta:
        """Settings of marshmallow. Clients of v2 send more than this."""

        unknown = EXCLUDE

    timestamp = Moment(allow_none=True)
    days_to_expire = fields.Integer(validate=validate.Range(0, 100_000), allow_none=True)
    merge_tables = fields.Boolean(allow_none=True)
    lookup_all_root_ids = fields.Boolean(allow_none=True)


class IdsTrigger(TriggerOptions):
    """What the look-up of supervoxels takes; without ids it looks up all rows that lack one."""

    annotation_ids = fields.List(Id(), load_default=None, allow_none=True)


class BadRootsTrigger(TriggerOptions):
    """What the removal of bad roots takes."""

    bad_roots = fields.List(Id(), required=True, validate=validate.Length(min=1))


class UploadTrigger(Schema):
    """What the v2 bulk upload takes in its body."""

    class Meta:
        """Settings of marshmallow."""

        unknown = EXCLUDE

    column_mapping = _Mapping(required=True)
    project = fields.String(load_default="")
    file_path = fields.String(required=True)
    schema = fields.String(required=True)
    materialized_ts = Stamp()
    reference_table = fields.String(allow_none=True)


class ChunksTrigger(Schema):
    """What the v2 trigger for missing chunks takes in its body; of CAVE's fields none is needed but `chunks`."""

    class Meta:
        """Settings of marshmallow."""

        unknown = EXCLUDE

    chunks = fields.List(
        fields.Raw(),
        required=True,
        metadata={"description": "without effect: the ledger knows what is missing"},
    )


class PauseBody(Schema):
    """What is to be paused; without a datastack all is."""

    class Meta:
        """Settings of marshmallow."""

        unknown = RAISE

    datastack = fields.String(allow_none=True, load_default=None)
    reason = fields.String(load_default="")


class VirtualBody(Schema):
    """A part of a version to be offered under another name."""

    class Meta:
        """Settings of marshmallow."""

        unknown = EXCLUDE

    target_version = _number(required=True)
    tables_to_include = fields.List(fields.String(), required=True)
    virtual_version_name = fields.String(required=True, validate=validate.Length(1, 100))


def run_request(body: dict[str, Any], requested_by: str) -> RunRequest:
    """The request that a `RunBody` describes."""
    upload = body.get("upload")
    return RunRequest(
        kind=RunKind(body["kind"]),
        datastack=body.get("datastack"),
        as_of=body.get("timestamp"),
        table=body.get("table"),
        upload=None if upload is None else _upload(upload),
        expires_in_days=body.get("expires_in_days"),
        split=body["split"],
        everything=body["everything"],
        annotation_ids=body.get("annotation_ids"),
        bad_roots=tuple(body["bad_roots"]),
        keep=body.get("keep"),
        requested_by=requested_by,
        base_version=body.get("base_version"),
        mends=body.get("mends"),
        phases=body.get("phases"),
        rebuilds=body.get("rebuilds"),
    )


def _upload(body: dict[str, Any]) -> UploadRequest:
    resolution = body.pop("resolution", None)
    return UploadRequest(**body, resolution=tuple(resolution) if resolution else None)


def upload_request(body: dict[str, Any], table: str, description: str) -> UploadRequest:
    """The upload that the v2 route describes: `project` is the bucket unless the path is a URL already."""
    path, stamp = body["file_path"], body.get("materialized_ts")
    if "://" not in path and body["project"]:
        path = f"gs://{body['project'].strip('/')}/{path.lstrip('/')}"
    return UploadRequest(
        table=table,
        schema=body["schema"],
        path=path,
        mapping=body["column_mapping"],
        roots_as_of=None if stamp is None else datetime.fromtimestamp(stamp, UTC),
        description=description,
        reference_table=body.get("reference_table"),
    )
