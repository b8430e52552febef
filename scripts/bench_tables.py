"""What the newest kept measurement says, as the manual shows it: a table, and a drawing of the ratios."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

HISTORY = Path(__file__).parents[1] / "bench" / "history"
_WIDTH, _LEFT, _ROW = 760, 150, 30
_SCALE = 120
"""Pixels of a ratio of 1."""


def _newest() -> dict[str, Any]:
    """The newest full measurement, else the newest of any kind. Raises LookupError where none is kept."""
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in HISTORY.glob("*.json")]
    if not kept:
        raise LookupError(f"{HISTORY} holds no measurement; `make bench-quick` makes one")
    return max(kept, key=lambda document: (document["kind"] == "full", document["date"]))


def _parts(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts at the size that was measured most often."""
    rounds = max(part["rounds"] for part in document["parts"])
    yield from (part for part in document["parts"] if part["rounds"] == rounds)


def benchmark_table() -> str:
    """Where and when it was measured, and a row for each part."""
    document = _newest()
    parts = list(_parts(document))
    load = document["load"][0]
    lines = [
        f"Commit `{document['commit']}`, {document['date'][:10]}, {parts[0]['rows']:,} synapses, "
        f"{document['machine']['cores']} cores, load {load:g}, medians of {parts[0]['rounds']}:",
        "",
        "| work | ours | floor | ratio | lowest to highest | CPU, client + server | floor's CPU | peak of a worker |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, parts), *_growth(document)])


def _row(part: dict[str, Any]) -> str:
    return (
        f"| {part['part']} | {part['seconds']:.2f} s | {part['floor']:.2f} s | {part['ratio']:.2f} "
        f"| {part['lowest']:.2f} to {part['highest']:.2f} | {part['client_cpu']:.1f} + {part['server_cpu']:.1f} s "
        f"| {part['floor_cpu']:.1f} s | {part['peak_mb']:.0f} MB |"
    )


def _growth(document: dict[str, Any]) -> Iterator[str]:
    updates = [part for part in _parts(document) if part["history_rows"]]
    if updates:
        yield ""
        yield "| run | pairs added to the root history | bytes | bytes added to the ledger |"
        yield "|---|---|---|---|"
        for part in updates:
            yield (
                f"| {part['part']} | {part['history_rows']:,} | {part['history_bytes']:,} | {part['ledger_bytes']:,} |"
            )
    if ratios := document.get("reads", {}).get("ratios"):
        yield ""
        yield "| read over HTTP / the bare statement | ratio |"
        yield "|---|---|"
        yield from (f"| {name} | {ratio:g} |" for name, ratio in ratios.items())
    if document["exponents"]:
        told = ", ".join(f"{part} {exponent:.2f}" for part, exponent in document["exponents"].items())
        sizes = sorted({part["rows"] for part in document["parts"]})
        yield ""
        yield f"Cost grows with rows, from {sizes[0]:,} to {sizes[-1]:,}, to the power of: {told}."


def benchmark_drawing() -> str:
    """A bar for each part: its ratio to the floor, and how far its rounds lay apart."""
    parts = list(_parts(_newest()))
    height = 70 + _ROW * len(parts)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
        'aria-label="Ratio to the floor" font-family="system-ui, sans-serif" font-size="12">',
        "<title>Ratio to the floor</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="10" fill="#fbfcfe"/>',
        f'<path d="M{_LEFT + _SCALE} 34V{height - 30}" stroke="#5b6270" stroke-dasharray="4 3"/>',
        f'<text x="{_LEFT + _SCALE}" y="26" text-anchor="middle" fill="#5b6270">the floor</text>',
    ]
    lines += [line for number, part in enumerate(parts) for line in _bar(part, 44 + _ROW * number)]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bar(part: dict[str, Any], top: int) -> Iterator[str]:
    def place(ratio: float) -> float:
        return _LEFT + min(ratio * _SCALE, _WIDTH - _LEFT - 60)

    middle = top + 8
    yield f'<text x="{_LEFT - 10}" y="{middle + 4}" text-anchor="end" fill="#22262e">{escape(part["part"])}</text>'
    yield f'<rect x="{_LEFT}" y="{top}" width="{place(part["ratio"]) - _LEFT:.1f}" height="16" fill="#4757a8"/>'
    yield f'<path d="M{place(part["lowest"]):.1f} {middle}H{place(part["highest"]):.1f}" stroke="#22262e"/>'
    yield f'<text x="{place(part["highest"]) + 8:.1f}" y="{middle + 4}" fill="#22262e">{part["ratio"]:.2f}</text>'
