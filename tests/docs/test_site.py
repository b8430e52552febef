"""The built manual: it builds without a warning, and names everything that it must name."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

from materializationengine import workflows
from materializationengine.cli import main
from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind
from materializationengine.web.app import create_app
from materializationengine.workflows.celery_app import create_celery

HEADINGS = (
    "Materialization Engine Celery Task Workflows",
    "Bulk Upload Workflow",
    "Ingest New Annotations Workflow",
    "Create Versioned Materialization Workflow",
    "Update Root Ids Workflow",
    "Complete Workflow",
    "Workflow Modules",
    "Module contents",
)
HEADINGS_OF_HTML = ("h1", "h2", "h3", "h4")
UNREAD = {"app"}
"""Holds the application of a worker: to import it is to read the environment."""


class Page(HTMLParser):
    """Words, anchors and links of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words: list[str] = []
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.headings: list[str] = []
        self._in_heading = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {found[key] or "" for key in ("id", "name") if key in found}
        link = found.get("href") or found.get("src")
        if link and tag in ("a", "img", "link", "script"):
            self.links.add(link)
        if tag in HEADINGS_OF_HTML:
            self.headings.append("")
            self._in_heading = True

    def handle_endtag(self, tag: str) -> None:
        if tag in HEADINGS_OF_HTML:
            self._in_heading = False

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._in_heading:
            self.headings[-1] += data.removesuffix("\N{PILCROW SIGN}").removesuffix("#")

    @property
    def text(self) -> str:
        """All words of the page."""
        return "".join(self.words)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path.resolve(): Page(path) for path in site.rglob("*.html")}


@pytest.fixture(scope="module")
def workflow_page(site: Path, pages: dict[Path, Page]) -> Page:
    return pages[(site / "workflows/workflows.html").resolve()]


def test_every_task_is_named(workflow_page: Page) -> None:
    celery = create_celery(Settings.from_env({}))
    celery.finalize()
    tasks = [name for name in celery.tasks if name.startswith(("workflow:", "process:"))]
    assert len(tasks) > len(RunKind)
    assert [name for name in tasks if name not in workflow_page.text] == []


def test_the_headings_of_the_first_manual_are_there(workflow_page: Page) -> None:
    assert [heading for heading in HEADINGS if heading not in workflow_page.text] == []


def test_every_workflow_module_is_described(workflow_page: Page) -> None:
    modules = {module.name for module in pkgutil.iter_modules(workflows.__path__)} - UNREAD
    described = {name for name in modules if f"module-{workflows.__name__}.{name}" in workflow_page.anchors}
    assert described == modules


def test_every_kind_of_run_has_its_picture(site: Path, workflow_page: Page) -> None:
    pictures = {Path(link).name for link in workflow_page.links if link.endswith(".svg") and "images" in link}
    assert len(pictures) >= len(RunKind)
    assert all((site / "_images" / name).is_file() for name in pictures)


def test_every_setting_has_its_heading(site: Path, pages: dict[Path, Page]) -> None:
    headings = pages[(site / "configuration.html").resolve()].headings
    assert [each.metadata["env"] for each in fields(Settings) if each.metadata["env"] not in headings] == []


def test_every_route_has_its_heading(site: Path, pages: dict[Path, Page]) -> None:
    headings = pages[(site / "api.html").resolve()].headings
    paths = {re.sub(r"<[^<>]*:", "<", rule.rule) for rule in create_app(Settings()).url_map.iter_rules()}
    newest = {path.replace("/api/v2/", "/api/v3/") for path in paths} & paths
    older = {path for path in paths if path.replace("/api/v2/", "/api/v3/") in newest} - newest
    assert len(older) > 20 and sorted(paths - older - set(headings)) == []


def test_every_command_has_its_heading(site: Path, pages: dict[Path, Page]) -> None:
    assert set(pages[(site / "commands.html").resolve()].headings) >= set(_names(main, "matengine"))


def _names(command: click.Command, name: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            inner = command.get_command(context, word)
            assert inner is not None
            yield from _names(inner, f"{name} {word}")
    else:
        yield name


def test_every_word_of_the_glossary_can_be_linked(site: Path, pages: dict[Path, Page]) -> None:
    anchors = pages[(site / "glossary.html").resolve()].anchors
    assert {"term-root-id", "term-frozen-version", "term-ledger", "term-bound-point"} <= anchors


def test_links_between_pages_resolve(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages.get(there)
            missing = not there.exists() or (
                known is not None and parts.fragment and parts.fragment not in known.anchors
            )
            if missing:
                broken.append(f"{path.name}: {link}")
    assert broken == []
