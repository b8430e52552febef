"""Bodies and query strings into checked values; whoever errs is told the field."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import marshmallow
from flask import Request
from flask_smorest import Blueprint as SmorestBlueprint
from webargs.flaskparser import FlaskParser

from ..domain.errors import BadRequest, UnreadableForm

View = TypeVar("View", bound=Callable[..., Any])
MOST_TOLD = 8
"""Faults named in one message."""

LONGEST_NAME = 100
"""Characters of a field's name in a message."""

MATERIALIZE = "/materialize/api"

_TEXTS = ("application/x-www-form-urlencoded",)
_ODD_LETTERS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
"""How JSON writes the zero character and halves of letters; a body without it need not be walked through."""


class Parser(FlaskParser):
    """webargs, except that a body is JSON whatever its content type says, and that a fault is a 400 in our shape."""

    DEFAULT_VALIDATION_STATUS = 400

    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The body as JSON, an empty one as {}: a filter that is not read would give every row."""
        body = req.get_data()
        if not body.strip():
            return {}
        _check_form(req)
        try:
            read = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}", field="body") from error
        if _ODD_LETTERS.search(body):
            _check_letters(read)
        return read

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
        found = [(_cut(path[1:]), text) for path, text in _leaves(error.messages)]
        told = "; ".join(_sentence(path, text, schema) for path, text in found[:MOST_TOLD])
        if len(found) > MOST_TOLD:
            told += f"; and {len(found) - MOST_TOLD} more"
        raise BadRequest(told, field=".".join(found[0][0]) or None) from error


def _check_form(req: Request) -> None:
    """Clients say little of their JSON, `curl -d` that it is a form; what says that it is no text at all is refused."""
    kind = req.mimetype
    if kind and not kind.endswith("json") and kind not in _TEXTS and not kind.startswith("text/"):
        raise UnreadableForm(f"Content-Type: {kind} is not read here; send application/json", field="Content-Type")
    if req.headers.get("Content-Encoding", "identity") != "identity":
        raise UnreadableForm(
            "Content-Encoding: bodies are read as they are; send no packed one", field="Content-Encoding"
        )


def _check_letters(read: Any) -> None:
    """Raises BadRequest for texts that no database keeps: halves of a letter, and the zero character."""
    waiting = [read]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            waiting += [*each, *each.values()]
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, str):
            check_text(each, "body")


def check_text(text: str, place: str) -> None:
    """Raises BadRequest for a text with the zero character or half a letter in it."""
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadRequest(f"{place}: a text holds the zero character, or half of a letter", field=place)


def _leaves(messages: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from _leaves(inner, path if key == "_schema" else (*path, str(key)))
    else:
        for message in messages if isinstance(messages, list) else [messages]:
            yield path, str(message)


def _cut(path: tuple[str, ...]) -> tuple[str, ...]:
    """Names as far as one reads them: a longer one is no slip of the pen, and is not sent back whole."""
    return tuple(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..." for name in path)


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
