"""The quickstart, the tutorial and the pages that go on from it, typed along on a real stack with the real client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.playing import CLIENT, play, type_lines

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A reader's folder, whose stack ends with the tests."""
    if not CLIENT.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(".venv-caveclient is missing; `make setup-clients`")
        pytest.skip(".venv-caveclient is missing; `make setup-clients`")
    folder = tmp_path_factory.mktemp("reader")
    yield folder
    type_lines(["matengine stack down --remove-data"], folder)


def test_the_quickstart_makes_two_versions_that_differ(folder: Path) -> None:
    told = play(DOCS / "quickstart.md", folder)
    assert len(re.findall(r"complete \w{12}: SUCCEEDED, version [12]", told)) == 2
    assert len(re.findall(r"AVAILABLE", told)) == 2
    found = re.search(r"(\d+) of 2000 presynaptic ends have a new root id", told)
    assert found is not None, told
    assert 0 < int(found[1]) < 2000


def test_the_tutorial_tells_what_it_promises(folder: Path) -> None:
    told = play(DOCS / "tutorial.md", folder)
    assert re.findall(r"complete \w{12}: SUCCEEDED, version (\d)", told) == ["1", "2", "3"]


def test_operating_goes_on_from_the_tutorial(folder: Path) -> None:
    type_lines(["matengine stack up"], folder)
    told = play(DOCS / "how-to/operate.md", folder)
    assert re.search(r"ingest \w{12}: SUCCEEDED", told)
    assert re.search(r"retire \w{12}: SUCCEEDED", told)


def test_a_page_that_promises_too_much_fails(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('```python\nprint("one")\n```\n\n```text\ntwo\n```\n')
    with pytest.raises(AssertionError, match="the page says"):
        play(page, folder)
