"""Annotation schemas as data: what a table of each type consists of."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache

from ..errors import UnknownSchema
from .catalogue import CATALOGUE
from .fields import Column, Role, SqlType
from .flatten import BoundPoint, Index, IndexKind, Schema, indexes

__all__ = [
    "BoundPoint",
    "Column",
    "Index",
    "IndexKind",
    "Role",
    "Schema",
    "SqlType",
    "indexes",
    "schema",
    "schema_names",
]


def schema_names() -> tuple[str, ...]:
    """The names of all schema types, alike ones side by side."""
    return tuple(CATALOGUE)


@cache
def schema(name: str) -> Schema:
    """The schema type of that name; raises `UnknownSchema`, which names the nearest one."""
    if name not in CATALOGUE:
        near = get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(CATALOGUE))}"
        raise UnknownSchema(f"there is no annotation schema {name!r}; {hint}", field="schema_type")
    return Schema(name, CATALOGUE[name])
