"""What a look at the service finds: one sentence for each thing looked at, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Light(StrEnum):
    """Green is well, yellow wants to be known, red wants somebody to act."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `told` says it in a sentence, `fix` what would make it green.

    `datastack` is empty where the whole service is meant.
    """

    check: str
    light: Light
    told: str
    fix: str = ""
    datastack: str = ""

    def to_json(self) -> dict[str, str]:
        """The wire form."""
        found = {"check": self.check, "light": str(self.light), "told": self.told}
        more = {"fix": self.fix, "datastack": self.datastack}
        return found | {name: text for name, text in more.items() if text}


def green(check: str, told: str) -> Finding:
    """All is well."""
    return Finding(check, Light.GREEN, told)


def yellow(check: str, told: str, fix: str) -> Finding:
    """Worth knowing; nothing fails by it now."""
    return Finding(check, Light.YELLOW, told, fix)


def red(check: str, told: str, fix: str) -> Finding:
    """Something fails, or will before long."""
    return Finding(check, Light.RED, told, fix)


def worst(findings: Iterable[Finding]) -> Light:
    """The light of all of them together; green for none."""
    lights = {finding.light for finding in findings}
    return next((light for light in (Light.RED, Light.YELLOW) if light in lights), Light.GREEN)
