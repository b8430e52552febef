"""Statements that a kept connection has planned once: where tables are tiny, planning takes longer than answering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Row, Select, TextClause, TextualSelect, text
from sqlalchemy.dialects import postgresql


class Prepared:
    """A selection over the fixed tables under a name of its own, with named parameters.

    The server plans it anew by itself where a table or an index of it has changed.
    """

    def __init__(self, name: str, statement: Select[*tuple[Any, ...]]) -> None:
        self._name, self._statement = name, statement

    def rows(self, connection: Connection, values: Mapping[str, object]) -> Sequence[Row[*tuple[Any, ...]]]:
        """Its answer. The connection must be of a pool, which keeps what was prepared as long as the connection."""
        known: set[str] = connection.info.setdefault("prepared", set())
        if self._name not in known:
            connection.exec_driver_sql(self._preparation)
            known.add(self._name)
        return connection.execute(self._execution, values).all()

    @cached_property
    def _compiled(self) -> Any:
        return self._statement.compile(dialect=postgresql.dialect(paramstyle="numeric_dollar"))

    @cached_property
    def _preparation(self) -> str:
        return f"PREPARE {self._name} AS {self._compiled}"

    @cached_property
    def _execution(self) -> TextualSelect:
        names = ", ".join(f":{name}" for name in self._compiled.positiontup)
        execution: TextClause = text(f"EXECUTE {self._name} ({names})")
        return execution.columns(*self._statement.selected_columns)
