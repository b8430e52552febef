"""Named statements. Each `.sql` file holds some, under a line `-- name --` and a remark on locks and cost."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

PARALLEL = "SET LOCAL parallel_tuple_cost = 0"
"""Before a pass over whole tables, for which the planner would rather not send many rows between processes: a step has
the database nearly for itself, and the next one waits for it."""

_HEAD = re.compile(r"^-- (\w+) --$", re.MULTILINE)


@cache
def _statements(file: str) -> dict[str, str]:
    text = files(__package__).joinpath(f"{file}.sql").read_text(encoding="utf-8")
    parts = _HEAD.split(text)[1:]
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def sql(file: str, name: str, **identifiers: str) -> str:
    """One statement; `{word}` in it takes the identifier or fragment of that name, already quoted."""
    return _statements(file)[name].format(**identifiers)


def quote(identifier: str) -> str:
    """An identifier as SQL text, whatever stands in it."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string as SQL text, where a statement takes no parameter."""
    return "'" + text.replace("'", "''") + "'"
