"""What the newest kept measurement says, as the manual shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench import kept, words
from bench.asked import EXPONENT, MEMORY_MB

Document = dict[str, Any]
_HEADINGS = (
    *("work", "of how many", "ours", "floor", "ratio", "lowest to highest", "asked", "met"),
    *("CPU, ours + server", "floor's CPU", "most memory", "rounds", "load"),
)


def newest() -> Document:
    """The newest full measurement, else the newest quick one. Raises LookupError where none is kept."""
    found = [each for each in (kept.newest("full"), kept.newest("quick")) if each and each["complete"]]
    if document := (found or [kept.newest()])[0]:
        return document
    raise LookupError(f"{kept.HISTORY} holds no measurement; `make bench-quick` makes one")


def benchmark_table() -> str:
    """Where and when it was measured, a row for each part, and what was not measured."""
    document = newest()
    machine = document["machine"]
    lines = [
        f"A {document['kind']} run of commit `{document['commit']}`, {document['date'][:10]}, "
        f"{machine['cores']} cores, Python {machine['python']}, load {document['load']:g} at its beginning. Medians:",
        "",
        *_table(_HEADINGS, (_row(part) for part in document["parts"])),
    ]
    return "\n".join([*lines, *_absent(document)])


def _row(part: Document) -> list[str]:
    name, ratio, seconds = part["part"], part["ratio"], part["seconds"]
    return [
        *(name, f"{part['rows']:,}", words.seconds(seconds), words.seconds(part["floor"]), words.ratio(ratio)),
        f"{words.ratio(part['lowest'])} to {words.ratio(part['highest'])}",
        *(words.asked(name), words.met(name, part["rows"], ratio, seconds)),
        f"{words.seconds(part['client_cpu'])} + {words.seconds(part['server_cpu'])}",
        *(words.seconds(part["floor_cpu"]), _memory(part["peak_mb"]), str(part["rounds"]), f"{part['load']:g}"),
    ]


def _memory(peak: float) -> str:
    return f"{peak:.0f} MB" + ("" if peak < MEMORY_MB else f", above {MEMORY_MB}")


def _absent(document: Document) -> Iterator[str]:
    for verb in ("skipped", "failed"):
        for name, reason in document[verb].items():
            yield f"\n`{name}` {'was ' if verb == 'skipped' else ''}{verb}: {reason}."


def growth_table() -> str:
    """Seconds by size and the exponents; where no other sizes were measured, a sentence that says so."""
    document = newest()
    if not document["exponents"]:
        return "Other sizes were not measured in this run; `make bench` measures them."
    everything = [*document["parts"], *document["growth"]]
    names = [each["part"] for each in document["exponents"]]
    sizes = sorted({part["rows"] for part in everything if part["part"] in names})
    seconds = {(part["part"], part["rows"]): words.seconds(part["seconds"]) for part in everything}
    headings = (
        "work",
        *(f"{size:,}" for size in sizes),
        "exponent",
        f"at most {EXPONENT}",
        "the floor's",
        "steepest step",
    )
    rows = (
        [
            *(each["part"], *(seconds.get((each["part"], size), "") for size in sizes), f"{each['ours']:.2f}"),
            *("yes" if each["ours"] <= EXPONENT else "no", f"{each['floor']:.2f}"),
            f"`{each['step']}` {each['steepest']:.2f}" if each["step"] else "",
        ]
        for each in document["exponents"]
    )
    return "\n".join(_table(headings, rows))


def ledger_table() -> str:
    """What each kind of run leaves in root history and ledger, by size."""
    document = newest()
    headings = ("run", "rows", "pairs added to the root history", "bytes", "rows added to the ledger", "bytes")
    rows = (
        [
            *(part["part"], f"{part['rows']:,}", f"{part['history_rows']:,}", f"{part['history_bytes']:,}"),
            *(f"{part['ledger_rows']:,}", f"{part['ledger_bytes']:,}"),
        ]
        for part in sorted([*document["parts"], *document["growth"]], key=lambda part: part["rows"])
        if part["ledger_rows"]
    )
    return "\n".join(_table(headings, rows))


def reads_table() -> str:
    """Quantiles, first bytes and memory of the reads, in absolute figures."""
    names = ("p50_ms", "p99_ms", "first_byte_ms", "extra_mb", "body_mb")
    headings = ("read", "p50, ms", "p99, ms", "first byte, ms", "memory beyond what was held, MB", "sent, MB")
    rows = (
        [kind, *(f"{told[name]:g}" if name in told else "" for name in names)]
        for kind, told in newest()["details"].get("reads", {}).items()
    )
    return "\n".join(_table(headings, rows))


def _table(headings: tuple[str, ...], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield "|---" * len(headings) + "|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
