"""What the manual takes from the code is what the code says now."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from materializationengine.workflows.actions import ACTIONS
from tests.docs.pages import PAGES, ROOT

SVG = "{http://www.w3.org/2000/svg}"
PICTURES = sorted((ROOT / "docs/images").glob("*.svg"))


def refresh(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a checkout."""
    command = [sys.executable, str(root / "scripts/refresh_docs.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=root)


def test_nothing_is_out_of_date() -> None:
    done = refresh(ROOT, "--check")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_only_what_is_out_of_date_is_written(tmp_path: Path) -> None:
    for name in ("docs", "scripts", "workflows"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("_build", "__pycache__"))
    for package in ("materializationengine", "localcave", "l1dbproto", "tests", "bench"):
        if (ROOT / package).is_dir():
            (tmp_path / package).symlink_to(ROOT / package)
    page, picture = tmp_path / "docs/configuration.md", tmp_path / "docs/images/linked_workflows.svg"
    before = page.read_text(encoding="utf-8")
    page.write_text(before.replace("REDIS_URL", "REDIS_ADDRESS"), encoding="utf-8")
    picture.unlink()
    done = refresh(tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"written: (\S+)", done.stdout) == ["docs/configuration.md", "docs/images/linked_workflows.svg"]
    # The prose below is written by hand and keeps its mistake; what is generated is mended.
    assert "### `REDIS_URL`" in page.read_text(encoding="utf-8")
    assert picture.read_bytes() == (ROOT / "docs/images/linked_workflows.svg").read_bytes()


def test_every_page_with_a_block_is_refreshed() -> None:
    marked = {
        str(page.relative_to(ROOT))
        for page in PAGES
        if re.search(r"^(<!-- begin |\.\. begin )", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    script = (ROOT / "scripts/refresh_docs.py").read_text(encoding="utf-8")
    assert marked == {name for name in marked if f'"{name}"' in script}
    assert len(marked) >= 6


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_pictures_are_whole(picture: Path) -> None:
    root = ElementTree.parse(picture).getroot()
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title") is not None
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("x", 0)) + float(box.attrib["width"]) <= width
        assert float(box.get("y", 0)) + float(box.attrib["height"]) <= height


def test_every_action_is_in_a_picture() -> None:
    drawn = {text.text for picture in PICTURES for text in ElementTree.parse(picture).iter(f"{SVG}text")}
    assert set(ACTIONS) <= drawn
