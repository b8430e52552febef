"""Switches that make the neighbors misbehave, for tests of whoever asks them. They don't outlive the
process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields, replace
from typing import Any

from localcave.errors import BadRequest

SERVICES = ("segmentation", "info", "schema", "auth")


@dataclass(frozen=True)
class Burst:
    """A service that answers a status instead; `count` requests long, or until cleared."""

    status: int = 503
    count: int | None = None
    retry_after: float | None = None


@dataclass(frozen=True)
class Faults:
    """The switches.

    `datastack` limits all of them to paths of one datastack or its table. `latency_ms` delays every answer,
    `visibility_delay_s` shows edits so much later than they happen, `wrong_length` and `zero_roots` spoil so
    many root answers (true: all): one id short, or all zeros.
    """

    datastack: str | None = None
    latency_ms: float = 0
    visibility_delay_s: float = 0
    wrong_length: int | bool = 0
    zero_roots: int | bool = 0
    segmentation: Burst | None = None
    info: Burst | None = None
    schema: Burst | None = None
    auth: Burst | None = None


class FaultSwitches:
    """The switches as they stand; counted ones run down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = Faults()

    def set(self, wanted: dict[str, Any]) -> Faults:
        """Put the switches as wanted; what is not named is off."""
        known = {field.name for field in fields(Faults)}
        if unknown := wanted.keys() - known:
            raise BadRequest(f"unknown fault {min(unknown)!r}; known are {', '.join(sorted(known))}")
        try:
            bursts = {name: Burst(**wanted[name]) for name in SERVICES if wanted.get(name)}
        except TypeError as problem:
            raise BadRequest(f"a burst has status, count and retry_after: {problem}") from problem
        for name in ("latency_ms", "visibility_delay_s", "wrong_length", "zero_roots"):
            if not isinstance(wanted.get(name, 0), int | float) or wanted.get(name, 0) < 0:
                raise BadRequest(f"{name} must be a number, not below 0")
        with self._lock:
            self.now = Faults(**{**wanted, **bursts})
        return self.now

    def concerns(self, path: str) -> bool:
        """Return whether the switches reach a path."""
        name = self.now.datastack
        parts = path.split("/")
        return name is None or name in parts or f"{name}_pcg" in parts or f"{name}_volume" in parts

    def delay_ms(self, datastack: str) -> int:
        """Return how much later readers see an edit of a datastack."""
        now = self.now
        return round(now.visibility_delay_s * 1000) if now.datastack in (None, datastack) else 0

    def burst(self, service: str) -> Burst | None:
        """Return the burst that this request falls into, and count it."""
        with self._lock:
            burst: Burst | None = getattr(self.now, service)
            if burst is None or burst.count == 0:
                return None
            if burst.count is not None:
                left: dict[str, Any] = {service: replace(burst, count=burst.count - 1)}
                self.now = replace(self.now, **left)
            return burst

    def spoils(self, switch: str) -> bool:
        """Return whether this root answer is to be spoiled, and count it."""
        with self._lock:
            left = getattr(self.now, switch)
            if left and left is not True:
                self.now = replace(self.now, **{switch: left - 1})
            return bool(left)
