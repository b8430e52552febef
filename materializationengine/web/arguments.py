"""Bodies and query strings into checked values; whoever errs is told the field."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import marshmallow
from flask import Request
from flask_smorest import Blueprint as SmorestBlueprint
from webargs.flaskparser import FlaskParser

from ..domain.errors import BadRequest

View = TypeVar("View", bound=Callable[..., Any])
MOST_TOLD = 8
"""Faults named in one message."""

MATERIALIZE = "/materialize/api"


class Parser(FlaskParser):
    """webargs, except that a body is JSON whatever its content type says, and that a fault is a 400 in our shape."""

    DEFAULT_VALIDATION_STATUS = 400

    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The body as JSON, an empty one as {}: a filter that is not read would give every row."""
        body = req.get_data()
        if not body.strip():
            return {}
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}", field="body") from error

    def handle_error(
        self,
        error: marshmallow.ValidationError,
        req: Request,
        schema: marshmallow.Schema,
        *,
        error_status_code: int | None,
        error_headers: Mapping[str, str] | None,
    ) -> NoReturn:
        """Raise BadRequest naming every field at fault."""
        found = [(path[1:], text) for path, text in _leaves(error.messages)]
        told = "; ".join(_sentence(path, text, schema) for path, text in found[:MOST_TOLD])
        if len(found) > MOST_TOLD:
            told += f"; and {len(found) - MOST_TOLD} more"
        raise BadRequest(told, field=".".join(found[0][0]) or None) from error


def _leaves(messages: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from _leaves(inner, path if key == "_schema" else (*path, str(key)))
    else:
        for message in messages if isinstance(messages, list) else [messages]:
            yield path, str(message)


def _sentence(path: tuple[str, ...], text: str, schema: marshmallow.Schema) -> str:
    if not path:
        return f"the body must be a JSON object: {text}"
    if text == "Unknown field.":
        near = difflib.get_close_matches(path[-1], schema.fields, n=1)
        hint = f"did you mean {near[0]}?" if near else "known are " + ", ".join(schema.fields)
        text = f"unknown field; {hint}"
    return f"{'.'.join(path)}: {text}"


class Blueprint(SmorestBlueprint):
    """A blueprint whose arguments come through our parser."""

    ARGUMENTS_PARSER = Parser()

    def arguments(self, schema: Any, **options: Any) -> Any:
        """As flask-smorest's, but the schema is made once: making it for every request takes longer than its work."""
        return super().arguments(schema() if isinstance(schema, type) else schema, **options)


def generations(
    blueprint: SmorestBlueprint, rule: str, *numbers: int, tell: bool = False, **options: Any
) -> Callable[[View], View]:
    """Serve one view under the same rule of several API generations; `tell` hands it the number as `generation`."""

    def decorate(view: View) -> View:
        for number in numbers:
            defaults = {"defaults": {"generation": number}} if tell else {}
            blueprint.add_url_rule(f"/v{number}{rule}", None, view, **defaults, **options)
        return view

    return decorate
