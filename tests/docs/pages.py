"""The manual's sources as the tests read them: pages, code blocks, headings, links."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MANUAL = sorted(
    path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".rst") and "_build" not in path.parts
)
PAGES = [
    *MANUAL,
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "workflows/README.md", "examples/README.md")
    ),
]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^\.\. code-block:: (?P<language>\w+)\n\n(?P<body>(?:(?: {3}.*)?\n)+)", re.MULTILINE)
_MARKDOWN_LINK = re.compile(r"\[[^\]]+\]\((?!https?:)(?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$|^(.+)\n(?:={3,}|-{3,})$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of code in a page."""

    page: Path
    language: str
    text: str

    @property
    def name(self) -> str:
        """What a test of it is called."""
        return f"{self.page.relative_to(ROOT)}: {self.text.strip().splitlines()[0][:40]}"


def blocks(language: str) -> list[Block]:
    """Every block of one language in every page."""
    return [block for page in PAGES for block in _blocks(page) if block.language == language]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for pattern in (_FENCE, _DIRECTIVE):
        for found in pattern.finditer(text):
            yield Block(page, found["language"], textwrap.dedent(found["body"]))


def commands(page: Path | None = None) -> list[str]:
    """Every line behind a prompt, of one page or of all."""
    wanted = [block for block in blocks("console") if page is None or block.page == page]
    return [line[2:] for block in wanted for line in block.text.splitlines() if line.startswith("$ ")]


def links(page: Path) -> list[str]:
    """Targets of a page's links to files beside it."""
    return [found["target"] for found in _MARKDOWN_LINK.finditer(page.read_text(encoding="utf-8"))]


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings, as GitHub and Sphinx spell them."""
    headings = (markdown or rst for markdown, rst in _HEADING.findall(page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
