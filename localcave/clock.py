"""The time by which edits are dated and `now` is understood; tests may set it. It does not outlive the process."""

from __future__ import annotations

from localcave import times


class Clock:
    """The wall clock, unless it was set to another moment or stopped."""

    def __init__(self) -> None:
        self._ahead_ms = 0
        self._stopped_ms: int | None = None

    @property
    def stopped(self) -> bool:
        """Whether it stands still."""
        return self._stopped_ms is not None

    def now_ms(self) -> int:
        """Return milliseconds since 1970."""
        stopped = self._stopped_ms
        return times.now_ms() + self._ahead_ms if stopped is None else stopped

    def set(self, moment_ms: int, *, stopped: bool) -> None:
        """Go on from a moment, or stand still at it."""
        self._ahead_ms = moment_ms - times.now_ms()
        self._stopped_ms = moment_ms if stopped else None

    def reset(self) -> None:
        """Be the wall clock again."""
        self._ahead_ms, self._stopped_ms = 0, None
