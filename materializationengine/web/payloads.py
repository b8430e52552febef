"""Bodies and query strings of the read API, as marshmallow schemas; the OpenAPI document is made of them."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from ..domain.query import FILTER_FIELDS
from .run_payloads import Moment

_BIGGEST = 2**63 - 1


class _Columns(fields.Field[Any]):
    """A list of names, or `{table: [names]}`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        if _names(value) or (isinstance(value, dict) and all(_names(names) for names in value.values())):
            return value
        raise ValidationError("Must be a list of column names, or an object of table and such a list.")


class _Suffixes(fields.Field[Any]):
    """A list of suffixes in the order of the tables, or `{table: suffix}`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        if _names(value) or (isinstance(value, dict) and _names(list(value.values()))):
            return value
        raise ValidationError("Must be an object of table and suffix.")


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _filter(form: str) -> fields.Dict:
    columns = fields.Dict(keys=fields.String(), values=fields.Raw(allow_none=True))
    return fields.Dict(
        keys=fields.String(),
        values=columns,
        allow_none=True,
        metadata={"description": f"{{table: {{column: {form}}}}}"},
    )


_FORMS = {
    "filter_spatial_dict": "[[min_x, min_y, min_z], [max_x, max_y, max_z]] in the table's units",
    "filter_regex_dict": "regular expression",
    "filter_null_dict": "true: is null; false: is not",
    "filter_in_dict": "[values]",
    "filter_notin_dict": "[values]",
    "filter_out_dict": "[values]",
}


def _count(description: str) -> fields.Integer:
    bounds = validate.Range(0, _BIGGEST)
    return fields.Integer(strict=True, validate=bounds, allow_none=True, metadata={"description": description})


class QuestionBody(Schema):
    """What every query may ask."""

    class Meta:
        """Settings of marshmallow."""

        unknown = RAISE

    select_columns = _Columns(allow_none=True, metadata={"description": "columns of the answer; default: all"})
    select_column_map = _Columns(allow_none=True, metadata={"description": "{table: [columns]}"})
    suffixes = _Suffixes(allow_none=True, metadata={"description": "see suffix_map"})
    suffix_map = _Suffixes(allow_none=True, metadata={"description": "{table: suffix} for names that two tables share"})
    limit = _count("most rows of the answer")
    offset = _count("rows to pass over first")
    order_by = fields.List(
        fields.String(),
        validate=validate.Length(max=8),
        allow_none=True,
        metadata={"description": "columns to sort by, `-` before one for the largest first; missing values come last"},
    )
    after = fields.String(
        allow_none=True,
        metadata={"description": "X-Next-Cursor of the page before; an empty text asks for the first page's cursor"},
    )
    desired_resolution = fields.List(
        fields.Float(validate=validate.Range(1e-6, 1e9), allow_nan=False),
        validate=validate.Length(equal=3),
        allow_none=True,
        metadata={"description": "nanometers per unit of the positions in the answer"},
    )


_FILTERS: dict[str, fields.Field[Any]] = {name: _filter(_FORMS.get(name, "value")) for name in FILTER_FIELDS}

SimpleBody = QuestionBody.from_dict(_FILTERS, name="SimpleQuery")
"""A query of one table."""

JoinBody = QuestionBody.from_dict(
    {
        "tables": fields.List(
            fields.List(fields.String(), validate=validate.Length(equal=2)),
            required=True,
            validate=validate.Length(min=1, max=8),
            metadata={"description": "[[table, column to join on], ...]"},
        ),
        **_FILTERS,
    },
    name="JoinQuery",
)
"""A query of several tables."""


LiveBody = QuestionBody.from_dict(
    {
        "table": fields.String(required=True, metadata={"description": "the table asked"}),
        "timestamp": Moment(required=True, metadata={"description": "the moment whose rows and roots are wanted"}),
        "join_tables": fields.List(
            fields.List(fields.String(), validate=validate.Length(equal=4)),
            validate=validate.Length(max=8),
            allow_none=True,
            metadata={"description": "[[table, column, table to join, its column], ...]"},
        ),
        **_FILTERS,
    },
    name="LiveQuery",
)
"""A query of a moment."""


class QueryOptions(Schema):
    """How an answer is wanted. Other arguments that clients send are ignored."""

    return_pyarrow = fields.Boolean(load_default=True, metadata={"description": "false: rows as JSON"})
    ipc_compress = fields.Boolean(load_default=True, metadata={"description": "compress Arrow batches"})
    count = fields.Boolean(load_default=False, metadata={"description": "the number of rows instead of them"})
    random_sample = fields.Integer(
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, _BIGGEST),
        metadata={"description": "look at about so many rows only, before any filter"},
    )


class LiveOptions(QueryOptions):
    """How an answer of a moment is wanted."""

    allow_missing_lookups = fields.Boolean(
        load_default=False, metadata={"description": "also rows whose supervoxels nobody has looked up yet"}
    )
    allow_invalid_root_ids = fields.Boolean(
        load_default=False, metadata={"description": "pass over ids that are no roots at the moment"}
    )


class ExpiredOption(Schema):
    """Whether versions that can no longer be queried are wanted."""

    expired = fields.Boolean(load_default=False, metadata={"description": "also versions that have expired"})


class LabelOptions(Schema):
    """What segments are called."""

    label_format = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=500),
        metadata={"description": "a text with names of columns in braces"},
    )
    label_columns = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=500),
        metadata={"description": "names of columns, with commas between; default: id, or a view's first column"},
    )


class SearchOptions(Schema):
    """What is looked for."""

    search = fields.String(
        load_default="",
        validate=validate.Length(max=200),
        metadata={"description": "words, each of which must stand in the name, description, schema or owner"},
    )


class CitationOptions(Schema):
    """In which form a version is cited."""

    format = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf(["text", "bibtex", "cff"]),
        metadata={"description": "text, bibtex or cff; default: by Accept"},
    )
