"""What a measurement leaves: one JSON file under its commit, written anew after every part.

So what was measured is kept when a later part fails or somebody ends the program.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from materializationengine.kernel import moments

from .figures import Figure, Growth, Summary, growths, load, summarize

HISTORY = Path(__file__).parent / "history"


class Record:
    """A measurement while it is made.

    Parameters: `kind`, `full` or `quick`; `folder`, where its file is kept, None for nowhere; `now`, when it began;
    `again`, sections of a measurement of the same commit that are made anew, the others of its file stay.
    """

    def __init__(self, kind: str, folder: Path | None, now: datetime, again: Collection[str] = ()) -> None:
        commit = _commit()
        earlier = sorted(folder.glob(f"*-{commit}-{kind}.json")) if folder and again else []
        self.path = earlier[-1] if earlier else folder and folder / f"{now:%Y-%m-%d}-{commit}-{kind}.json"
        self._figures: list[Figure] = []
        self._growth: list[Figure] = []
        self._head = {"kind": kind, "commit": commit, "date": now.isoformat(timespec="seconds"), "load": load()}
        self._head["machine"] = {
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
        }
        self._complete = False
        self._take_up(json.loads(earlier[-1].read_text()) if earlier else {}, again)

    def _take_up(self, before: dict[str, Any], again: Collection[str]) -> None:
        """What stays of an earlier file. Single sections make nothing whole that was not, but for those that failed."""
        self._partial = bool(again) and not (before.get("complete") or before.get("failed"))

        def others(name: str) -> dict[str, Any]:
            return {task: told for task, told in before.get(name, {}).items() if task.partition(" ")[0] not in again}

        self.failed, self.skipped, self._seconds = (others(name) for name in ("failed", "skipped", "seconds"))
        self.sections: dict[str, str] = before.get("sections", {})
        self._details: dict[str, Any] = before.get("details", {})
        self._others, self._other_sizes = (
            [Summary(**part) for part in before.get(name, []) if self.sections[part["part"]] not in again]
            for name in ("parts", "growth")
        )

    def add(self, section: str, figure: Figure, *, growth: bool = False) -> None:
        """Keep one figure; `growth` where its size is measured for the sake of the exponent only."""
        self.sections[figure.part] = section
        (self._growth if growth else self._figures).append(figure)
        self.write()

    def detail(self, name: str, found: object) -> None:
        """Keep what a section tells beside its figures."""
        self._details[name] = found
        self.write()

    def took(self, section: str, seconds: float) -> None:
        """Keep how long a section lasted, setting up included."""
        self._seconds[section] = round(seconds, 1)
        self.write()

    def finish(self) -> None:
        """Say that every section was tried, and none failed."""
        self._complete = not (self.failed or self._partial)
        self.write()

    def summaries(self) -> list[Summary]:
        """Of the sizes that were asked for."""
        return self._in_order([*self._others, *summarize(self._figures)])

    def sizes(self) -> list[Summary]:
        """Of the sizes that were measured for the sake of the exponents."""
        return self._in_order([*self._other_sizes, *summarize(self._growth)])

    def _in_order(self, found: list[Summary]) -> list[Summary]:
        places = list(self.sections)
        return sorted(found, key=lambda one: places.index(one.part))

    def growths(self) -> list[Growth]:
        """Of every part that has more than one size."""
        return growths([*self.summaries(), *self.sizes()])

    def document(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            **self._head,
            "complete": self._complete,
            "failed": self.failed,
            "skipped": self.skipped,
            "seconds": self._seconds,
            "sections": self.sections,
            "parts": [asdict(one) for one in self.summaries()],
            "growth": [asdict(one) for one in self.sizes()],
            "exponents": [asdict(one) for one in self.growths()],
            "details": self._details,
        }

    def write(self) -> None:
        """Replace the file at once."""
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_suffix(".new")
            fresh.write_text(json.dumps(self.document(), indent=1) + "\n")
            fresh.replace(self.path)


def _commit() -> str:
    words = ["git", "rev-parse", "--short=10", "HEAD"]
    found = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parent)
    return found.stdout.strip() or "unknown"


def newest(kind: str | None = None, folder: Path | None = None) -> dict[str, Any] | None:
    """The newest measurement of a kind, or of any; a whole one where there is one, None where there is none."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (folder or HISTORY).glob("*.json")]
    of_kind = [each for each in found if kind in (None, each["kind"])]
    return max(of_kind, key=lambda each: (each["complete"], moments.parse(each["date"])), default=None)
