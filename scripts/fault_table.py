"""The fault matrix as the manual shows it, read off the table that the tests play."""

from __future__ import annotations

from collections import Counter

from tests.faults.cases import CASES, POINTS, Case, End, Flow


def table() -> str:
    """One row for each case: what breaks, where, and what comes of it."""
    rows = [f"| {case.fault.value} | {case.flow.value} | {where(case)} | {outcome(case)} |" for case in CASES]
    return "\n".join(["| what breaks | in which workflow | where | the run |", "|---|---|---|---|", *rows])


def where(case: Case) -> str:
    """The place in words."""
    if not case.at:
        return "from the beginning"
    point, _, action = case.at.partition(" ")
    return f"{POINTS[point]} `{action}`" if "." in action else f"{POINTS[point]} the {action}"


def outcome(case: Case) -> str:
    """What comes of it, with what a failed run says."""
    return f'{case.end.value}; it says "{_read(case.sentence)}"' if case.sentence else case.end.value


def _read(sentence: str) -> str:
    return sentence.replace(".*", "...")


def count() -> str:
    """How many cases there are, and of which ends."""
    ends = Counter(case.end for case in CASES)
    told = "\n".join(f"* {ends[end]} x {end.value}" for end in End)
    return f"{len(CASES)} cases over {len({case.fault for case in CASES})} faults and {len(Flow)} workflows:\n\n{told}"
