"""Figures in words, the same on the terminal and in the manual."""

from __future__ import annotations

from .asked import ASKED, Asked


def seconds(value: float) -> str:
    """Seconds, or milliseconds of what lasts less than a tenth."""
    return f"{1000 * value:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def ratio(value: float) -> str:
    """Ratios reach from thousandths to tens."""
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def asked(part: str) -> str:
    """What a part is meant to reach, "" for nothing."""
    goal = ASKED.get(part)
    if goal is None:
        return ""
    told = [ratio(goal.ratio)] if goal.ratio is not None else []
    return " and ".join(told + ([seconds(goal.seconds)] if goal.seconds is not None else []))


def met(part: str, rows: int, ratio_: float, seconds_: float) -> str:
    """Whether a part reaches it; of another size than it was asked for, nothing can be said."""
    goal: Asked | None = ASKED.get(part)
    if goal is None:
        return ""
    if goal.rows != rows:
        return f"asked of {goal.rows:,}"
    return "yes" if goal.met(ratio_, seconds_) else "no"
