"""How many queries one user has running in this process."""

from __future__ import annotations

import threading
from collections import Counter

from ..domain.errors import TooManyQueries


class Slots:
    """At most `most` at a time for each user; 0 sets no limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[int] = Counter()
        self._guard = threading.Lock()

    def take(self, user: int) -> Slot:
        """A slot, to be given back. Raises TooManyQueries."""
        with self._guard:
            if self._most and self._taken[user] >= self._most:
                raise TooManyQueries(f"{TooManyQueries.__doc__} You may have {self._most}.", most=self._most)
            self._taken[user] += 1
        return Slot(self, user)

    def give(self, user: int) -> None:
        """One of the user's queries has ended."""
        with self._guard:
            self._taken[user] -= 1
            if not self._taken[user]:
                del self._taken[user]


class Slot:
    """A running query's place, given back once however often its end is told."""

    def __init__(self, slots: Slots, user: int) -> None:
        self._slots: Slots | None = slots
        self._user = user

    def close(self) -> None:
        """Give the place back."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give(self._user)
