"""Cursors: what one holds is found again, and whatever else comes in its place is refused."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from materializationengine.domain.errors import BadQuery
from materializationengine.domain.query import simple_question
from materializationengine.domain.query_order import fingerprint, with_cursor, write_cursor
from materializationengine.domain.query_plan import QueryPlan, Source, resolve
from materializationengine.domain.schemas import schema

QUESTION = simple_question("cells", {"order_by": ["cell_type", "-id"]})
CELLS = Source("cells", schema("cell_type_local"), (4.0, 4.0, 40.0))
FROZEN = resolve(QUESTION, [CELLS])
LIVE = replace(FROZEN, sources=(replace(CELLS, live=True),))
MARK = fingerprint(QUESTION, "version 1")
LAST = ("basket", 7, "(12,3)")


def test_a_cursor_is_read_back_where_the_question_is_the_same() -> None:
    for keys in (LAST, (None, None, "(0,1)")):
        assert with_cursor(FROZEN, write_cursor(MARK, keys), MARK).after == keys
    assert with_cursor(LIVE, write_cursor(MARK, ("basket", 7, 41)), MARK).after == ("basket", 7, 41)
    assert with_cursor(FROZEN, None, MARK) is FROZEN


def test_the_page_does_not_change_what_a_cursor_belongs_to() -> None:
    assert fingerprint(replace(QUESTION, limit=3, offset=5), "version 1") == MARK
    assert fingerprint(QUESTION, "version 2") != MARK
    with pytest.raises(BadQuery, match="belongs to another query"):
        with_cursor(FROZEN, write_cursor("another", LAST), MARK)
    nothing = base64.urlsafe_b64encode(b'{"a": 1}').decode()
    with pytest.raises(BadQuery, match="belongs to another query"):
        with_cursor(FROZEN, nothing, MARK)


@pytest.mark.parametrize(
    ("plan", "keys"),
    [
        (FROZEN, LAST[:2]),
        (FROZEN, (7, 7, "(12,3)")),
        (FROZEN, ("basket", "7", "(12,3)")),
        (FROZEN, ("basket", True, "(12,3)")),
        (FROZEN, ("basket", 2**63, "(12,3)")),
        (FROZEN, ("bas\x00ket", 7, "(12,3)")),
        (FROZEN, ("basket", 7, 41)),
        (FROZEN, ("basket", 7, "(12,3); DROP TABLE cells")),
        (LIVE, LAST),
        (LIVE, ("basket", 7, 2**63)),
        (LIVE, ("basket", 7, True)),
    ],
)
def test_keys_of_other_types_or_number_are_refused(plan: QueryPlan, keys: tuple[str | int | None, ...]) -> None:
    with pytest.raises(BadQuery, match="no cursor of this service"):
        with_cursor(plan, write_cursor(MARK, keys), MARK)


@pytest.mark.parametrize("cursor", ["!", "AAAA", "x" * 5000, base64.urlsafe_b64encode(b"[" * 3000).decode()])
def test_what_is_no_cursor_at_all_is_refused(cursor: str) -> None:
    with pytest.raises(BadQuery, match="no cursor of this service"):
        with_cursor(FROZEN, cursor, json.dumps(MARK))
