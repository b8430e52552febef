"""marshmallow fields that take a value only as what it is: `"7"`, `7.0` and `true` are no integers here.

The default fields convert. For ids that is harmful: a float has already lost the low digits of a root id, and
a text from a spreadsheet should fail where its author sees it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import marshmallow
from marshmallow import ValidationError, fields, validate

from .fields import SqlType, Value

UNKNOWN = "is not a field of this schema"

Coordinates = tuple[float, float, float]

_BITS = {SqlType.INTEGER: 31, SqlType.BIGINT: 63}


class StrictSchema(marshmallow.Schema):
    """A schema that refuses unknown fields, in our words."""

    error_messages = {"unknown": UNKNOWN, "type": "must be an object"}  # noqa: RUF012 - marshmallow's own way

    class Meta:
        """Settings of marshmallow."""

        unknown = marshmallow.RAISE


def value_field(value: Value) -> fields.Field[Any]:
    """The field that loads one value; an optional one may be null."""
    return _MAKERS[value.type](value, required=value.required, allow_none=not value.required)


def nested(parts: dict[str, fields.Field[Any]], *, required: bool) -> fields.Nested:
    """The field that loads a point from an object with these parts; an optional point may be null."""
    inner = StrictSchema.from_dict(parts, name="Point")
    return fields.Nested(inner, required=required, allow_none=not required, error_messages=_messages())


class _Number(fields.Float):
    """A finite float; what the base class would convert from text is refused."""

    def _validated(self, value: Any) -> float:
        if not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class _Boolean(fields.Boolean):
    """A boolean that refuses 0, 1 and words."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class _Position(fields.Field[Coordinates]):
    """Three finite numbers. One check in one place: a tuple of three fields takes twice as long to load."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Coordinates:
        if not isinstance(value, list | tuple) or len(value) != 3 or not all(map(_is_finite, value)):
            raise self.make_error("invalid", input=value)
        x, y, z = map(float, value)
        return x, y, z


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond the range of a double
        return False


def _integer(value: Value, **options: Any) -> fields.Field[Any]:
    low, high = -(2 ** _BITS[value.type]), 2 ** _BITS[value.type] - 1
    rules = [
        validate.Range(low, high, error=f"must lie between {low} and {high}"),
        *_one_of(value),
    ]
    return fields.Integer(
        strict=True,
        validate=rules,
        error_messages=_messages(invalid="must be an integer"),
        **options,
    )


def _number(value: Value, **options: Any) -> fields.Field[Any]:
    finite = "must be finite"
    messages = _messages(invalid="must be a number", special=finite, too_large=finite)
    return _Number(allow_nan=False, error_messages=messages, **options)


def _position(value: Value, **options: Any) -> fields.Field[Any]:
    messages = _messages(invalid="must be a list of three finite numbers, [x, y, z]")
    return _Position(error_messages=messages, **options)


def _text(value: Value, **options: Any) -> fields.Field[Any]:
    rules: list[Callable[[str], Any]] = [_storable, *_one_of(value)]
    return fields.String(validate=rules, error_messages=_messages(invalid="must be a text"), **options)


def _boolean(value: Value, **options: Any) -> fields.Field[Any]:
    return _Boolean(error_messages=_messages(invalid="must be true or false"), **options)


def _messages(**own: str) -> dict[str, Any]:
    return {"required": "is missing", "null": "must not be null", **own}


def _one_of(value: Value) -> list[validate.OneOf]:
    if not value.choices:
        return []
    return [validate.OneOf(value.choices, error=f"must be one of {', '.join(map(str, value.choices))}")]


def _storable(text: str) -> None:
    """A zero character and half a surrogate pair are legal in JSON but not in a PostgreSQL text."""
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValidationError("must not hold a zero character or half of a surrogate pair")


_MAKERS: dict[SqlType, Callable[..., fields.Field[Any]]] = {
    SqlType.BIGINT: _integer,
    SqlType.INTEGER: _integer,
    SqlType.DOUBLE: _number,
    SqlType.TEXT: _text,
    SqlType.BOOLEAN: _boolean,
    SqlType.POINTZ: _position,
}
