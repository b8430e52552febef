"""Files that the how-tos tell people to write are files that the engine reads."""

from __future__ import annotations

from pathlib import Path

from materializationengine.gateways.datastacks import StaticDatastacks
from materializationengine.workflows.schedules import read_schedules
from tests.docs.pages import ROOT
from tests.docs.playing import pieces

HOW_TO = ROOT / "docs/how-to"


def file_of(page: str, name: str) -> str:
    """A file that a page tells people to write."""
    (found,) = [piece.text for piece in pieces(HOW_TO / page) if piece.file == name]
    return found


def test_the_datastack_record_is_one(tmp_path: Path) -> None:
    path = tmp_path / "datastacks.json"
    path.write_text(file_of("first-datastack.md", "datastacks.json"))
    fly = StaticDatastacks(path).get("fly")
    assert (fly.aligned_volume, fly.pcg_table, fly.viewer_resolution) == ("fly_brain", "fly_v1", (4, 4, 40))


def test_the_schedules_are_schedules() -> None:
    found = read_schedules(file_of("schedule.md", "schedules.json"))
    assert [schedule.name for schedule in found] == ["version of the night", "removal"]
