"""`parse_cat`: read a baseline schema in MySQL's dialect and print its tables as Python text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import click

from ..errors import L1dbError
from .common import one_line_errors

KEPT = ("DiaObject", "SSObject", "DiaSource", "DiaForcedSource", "DiaObject_To_Object_Match")
_TYPES = {
    "BIGINT": ("BigInteger", "L"),
    "INT": ("Integer", "I"),
    "INTEGER": ("Integer", "I"),
    "DOUBLE": ("Double", "D"),
    "FLOAT": ("REAL", "F"),
    "TIMESTAMP": ("TIMESTAMP", "T"),
    "DATETIME": ("TIMESTAMP", "T"),
    "BLOB": ("LargeBinary", "B"),
}
_CREATE = re.compile(r"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?[`\"]?(?P<name>\w+)", re.IGNORECASE)
_COLUMN = re.compile(r"[`\"]?(?P<name>\w+)[`\"]?\s+(?P<type>[A-Za-z]+)(?:\([^)]*\))?(?P<rest>.*)")
_KEYS = re.compile(r"(PRIMARY|UNIQUE|INDEX|KEY|CONSTRAINT|FOREIGN|FULLTEXT)\b", re.IGNORECASE)


@dataclass(frozen=True)
class CatColumn:
    """One column as the file declares it."""

    name: str
    type: str
    nullable: bool


@dataclass
class CatTable:
    """One table as the file declares it."""

    name: str
    columns: list[CatColumn] = field(default_factory=list)


def parse(lines: Iterable[str]) -> list[CatTable]:
    """All tables of a schema file, line by line: comments and keys are passed over, a lone `)` ends a table.

    Raises L1dbError naming the line whose type is unknown.
    """
    tables: list[CatTable] = []
    inside = False
    for number, line in enumerate(lines, 1):
        text = line.split("--")[0].strip()
        if found := _CREATE.match(text):
            tables.append(CatTable(found["name"]))
            inside = True
        elif text.startswith(")"):
            inside = False
        elif inside and not _KEYS.match(text) and (found := _COLUMN.match(text)):
            tables[-1].columns.append(_column(found, number))
    return tables


def _column(found: re.Match[str], number: int) -> CatColumn:
    kind = found["type"].upper()
    if kind not in _TYPES:
        raise L1dbError(
            f"line {number}: column {found['name']} has the unknown type {kind}; known are {', '.join(_TYPES)}"
        )
    return CatColumn(found["name"], kind, "NOT NULL" not in found["rest"].upper())


def describe(table: CatTable) -> str:
    """The table as SQLAlchemy's constructors, the words of `l1dbproto.tables`, and two lists of columns."""
    columns = [f"    Column('{c.name}', {_TYPES[c.type][0]}, nullable={c.nullable})," for c in table.columns]
    words = [f"{c.name}:{_TYPES[c.type][1]}{'' if c.nullable else '!'}" for c in table.columns]
    needed = [c.name for c in table.columns if not c.nullable]
    return "\n".join(
        [
            f"{table.name} = Table('{table.name}', metadata,",
            *columns,
            ")",
            f"{table.name} words: {' '.join(words)}",
            f"{table.name} columns: {[c.name for c in table.columns]}",
            f"{table.name} non-nullable columns: {needed}",
        ]
    )


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="All tables, not only those of the L1 database.")
@click.argument("file", type=click.Path(path_type=Path))
@one_line_errors
def main(everything: bool, file: Path) -> None:
    """Print the tables of the schema FILE in a form to paste; l1dbproto/sql has a sample."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise L1dbError(f"cannot read the schema file {str(file)!r}: {error}") from error
    tables = parse(text.splitlines())
    chosen = [table for table in tables if everything or table.name in KEPT]
    if not chosen:
        raise L1dbError(f"{file} declares none of the tables {', '.join(KEPT)}")
    for table in chosen:
        click.echo(describe(table) + "\n")


if __name__ == "__main__":
    main()
