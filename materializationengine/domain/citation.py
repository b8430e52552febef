"""How a version is cited: what it is, of which moment, and what each of its tables held; as text, BibTeX and CFF."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CitedTable:
    """A table of a version. `rows` and `digest` are None where nobody counted, or its owner keeps it back."""

    name: str
    rows: int | None
    digest: str | None

    @property
    def sentence(self) -> str:
        """In words."""
        rows = "uncounted" if self.rows is None else f"{self.rows} rows"
        return f"{self.name}: {rows}" + (f", sha256-sum {self.digest}" if self.digest else "")


@dataclass(frozen=True, slots=True)
class Citation:
    """A version as it was published; `revision` counts its mends, `software` are the releases that verified it."""

    datastack: str
    version: int
    moment: datetime
    revision: int
    software: tuple[str, ...]
    tables: tuple[CitedTable, ...]

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.datastack}, version {self.version}"

    @property
    def number(self) -> str:
        """The version, and its revision where it was mended."""
        return f"{self.version}.{self.revision}" if self.revision else str(self.version)

    @property
    def made_with(self) -> str:
        """The software."""
        return f"materializationengine {', '.join(self.software)}" if self.software else "materializationengine"


def text(cited: Citation) -> str:
    """A few lines to read."""
    head = (
        f"{cited.datastack}, version {cited.number}, true of {cited.moment.isoformat()}. Frozen by {cited.made_with}."
    )
    return "\n".join([head, *(f"  {table.sentence}" for table in cited.tables)]) + "\n"


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "{}$&#%_"},
}


def bibtex(cited: Citation) -> str:
    """An entry of a bibliography. Its key is made of letters and digits of the datastack, and the version."""
    key = "".join(letter for letter in cited.datastack if letter.isascii() and letter.isalnum())
    note = "; ".join([f"true of {cited.moment.isoformat()}", f"frozen by {cited.made_with}", *_sentences(cited)])
    fields = {
        "title": f"{{{_tex(cited.title)}}}",
        "author": f"{{{_tex(cited.datastack)}}}",
        "year": str(cited.moment.year),
        "month": str(cited.moment.month),
        "version": _tex(cited.number),
        "note": _tex(note),
    }
    body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@misc{{{key or 'datastack'}v{cited.version},\n{body}\n}}\n"


def _sentences(cited: Citation) -> Iterator[str]:
    return (table.sentence for table in cited.tables)


def _tex(words: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in words)


def cff(cited: Citation) -> str:
    """A `CITATION.cff` of the Citation File Format 1.2.0. Texts stand as JSON strings, which YAML reads."""
    lines = [
        "cff-version: 1.2.0",
        "message: If you use these data, please cite them as below.",
        "type: dataset",
        f"title: {json.dumps(cited.title)}",
        "authors:",
        f"  - name: {json.dumps(cited.datastack)}",
        f"version: {json.dumps(cited.number)}",
        f"date-released: {json.dumps(cited.moment.date().isoformat())}",
        f"abstract: {json.dumps(text(cited))}",
    ]
    known = [table for table in cited.tables if table.digest]
    lines += ["identifiers:"] if known else []
    for table in known:
        lines += ["  - type: other", f"    value: {json.dumps(f'sha256-sum:{table.digest}')}"]
        lines.append(f"    description: {json.dumps(table.sentence)}")
    return "\n".join(lines) + "\n"
