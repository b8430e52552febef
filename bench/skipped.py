"""What a section says when it cannot be measured here, which is no failure."""

from __future__ import annotations


class Skipped(Exception):
    """Something that does not come with the project is absent; the message names it and how to get it."""
