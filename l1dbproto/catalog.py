"""What a database says of itself: how its tables were made, the newest moment, which optional columns hold anything.

A column that was never filled is not asked for: fetching 88 columns of nulls costs four times what the other
20 do. The names of filled columns are written in the transaction that first fills them, and read in the one that reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from .backends import Session
from .config import L1dbConfig
from .errors import SchemaError
from .moments import literal, parse_moment
from .tables import METADATA_TABLE, TableDef

SCHEMA_VERSION = "1"
_MOMENT = "last_moment"
_FILLED = "filled:"


@dataclass(frozen=True, slots=True)
class State:
    """The metadata at one moment of the database."""

    moment: datetime | None
    filled: frozenset[str]

    def readable(self, table: TableDef) -> list[str]:
        """Columns of `table` that can hold something other than null."""
        return [c.name for c in table.columns if not c.nullable or f"{table.name}.{c.name}" in self.filled]


def words_of(config: L1dbConfig) -> dict[str, str]:
    """The rows that tell how the tables were made."""
    return {"schema_version": SCHEMA_VERSION, **config.schema_words}


def read_state(session: Session) -> State:
    """Read the metadata. Raises SchemaError if the tables were made for another configuration."""
    found: dict[str, str] = dict(session.rows(f'SELECT name, value FROM "{METADATA_TABLE}"'))
    check_words(found, session.config)
    moment = parse_moment(found[_MOMENT]) if _MOMENT in found else None
    filled = frozenset(name.removeprefix(_FILLED) for name in found if name.startswith(_FILLED))
    return State(moment, filled)


def check_words(found: dict[str, str], config: L1dbConfig) -> None:
    """Raise SchemaError unless the database was made with these choices."""
    wrong = {name: word for name, word in words_of(config).items() if found.get(name) != word}
    if wrong:
        differences = ", ".join(f"{name} is {found.get(name)} there and {word} here" for name, word in wrong.items())
        raise SchemaError(
            f"the tables of {session_address(config)} were made for another configuration: {differences}; correct the "
            "configuration file, or make the tables anew with create_l1_schema --drop, which loses their rows"
        )


def session_address(config: L1dbConfig) -> str:
    """The database's address, fit to be printed."""
    return config.url.render_as_string(hide_password=True)


def note_moment(session: Session, state: State, time: datetime) -> None:
    """Move the newest moment forward. Tiles of one visit write it once: the others find it there."""
    value = literal(time)
    if state.moment is None:
        session.execute(session.insert_if_new(METADATA_TABLE, f"('{_MOMENT}', {value})"))
    if state.moment is None or state.moment < time:
        session.execute(f"UPDATE \"{METADATA_TABLE}\" SET value = {value} WHERE name = '{_MOMENT}' AND value < {value}")


def note_filled(session: Session, state: State, table: TableDef, columns: pa.Table) -> None:
    """Note optional columns that hold a value for the first time."""
    names = (f"{table.name}.{c.name}" for c in table.columns if c.nullable and _holds_values(columns, c.name))
    rows = ", ".join(f"('{_FILLED}{name}', '')" for name in names if name not in state.filled)
    if rows:
        session.execute(session.insert_if_new(METADATA_TABLE, rows))


def _holds_values(columns: pa.Table, name: str) -> bool:
    return name in columns.column_names and columns.column(name).null_count < columns.num_rows
