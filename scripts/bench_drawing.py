"""The ratios of the newest kept measurement as a drawing, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from bench_tables import newest

from bench import words
from bench.asked import ASKED

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 820, 230, 90, 26, 58
_GRAY, _INK, _BLUE, _RED = "#5b6270", "#22262e", "#4757a8", "#b3452c"


def benchmark_drawing() -> str:
    """A dot for each part at its ratio to the floor, a line over its rounds, and a mark where it is asked to be."""
    parts = newest()["parts"]
    scale = _Scale(parts)
    bottom = _TOP + _ROW * len(parts)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 20}" width="{_WIDTH}" role="img" '
        'aria-label="Ratio to the floor" font-family="system-ui, sans-serif" font-size="12">',
        "<title>Ratio to the floor</title>",
        f'<rect width="{_WIDTH}" height="{bottom + 20}" rx="10" fill="#fbfcfe"/>',
        f'<text x="{_LEFT}" y="20" fill="{_GRAY}">seconds of ours / seconds of the floor; less is better; '
        f'<tspan fill="{_RED}">|</tspan> asked at most</text>',
        *scale.grid(bottom),
    ]
    lines += [line for number, part in enumerate(parts) for line in _part(part, scale, _TOP + _ROW * number)]
    return "\n".join([*lines, "</svg>"]) + "\n"


class _Scale:
    """Where a ratio lies: powers of ten from the lowest to the highest that is shown."""

    def __init__(self, parts: list[dict[str, Any]]) -> None:
        shown = [part[name] for part in parts for name in ("lowest", "highest")]
        shown += [goal for part in parts if (goal := _goal(part)) is not None]
        self._low, self._high = math.floor(math.log10(min([*shown, 0.5]))), math.ceil(math.log10(max([*shown, 2.0])))

    def __call__(self, ratio: float) -> float:
        """Pixels from the left."""
        share = (math.log10(ratio) - self._low) / (self._high - self._low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def grid(self, bottom: int) -> Iterator[str]:
        """A line for each power of ten, the floor's dashed."""
        for power in range(self._low, self._high + 1):
            x, is_floor = self(10.0**power), power == 0
            dashes = ' stroke-dasharray="4 3"' if is_floor else ""
            yield f'<path d="M{x} {_TOP - 12}V{bottom}" stroke="{_GRAY if is_floor else "#dde1ea"}"{dashes}/>'
            name = "the floor" if is_floor else f"{10.0**power:g}"
            yield f'<text x="{x}" y="{_TOP - 18}" text-anchor="middle" fill="{_GRAY}">{name}</text>'


def _goal(part: dict[str, Any]) -> float | None:
    """The ratio that is asked of a part at the size that was measured."""
    asked = ASKED.get(part["part"])
    return asked.ratio if asked and asked.rows == part["rows"] else None


def _part(part: dict[str, Any], scale: _Scale, top: int) -> Iterator[str]:
    middle = top + 8
    yield f'<text x="{_LEFT - 12}" y="{middle + 4}" text-anchor="end" fill="{_INK}">{escape(part["part"])}</text>'
    yield f'<path d="M{scale(part["lowest"])} {middle}H{scale(part["highest"])}" stroke="{_BLUE}" stroke-width="3"/>'
    yield f'<circle cx="{scale(part["ratio"])}" cy="{middle}" r="4.5" fill="{_BLUE}"/>'
    if (goal := _goal(part)) is not None:
        yield f'<path d="M{scale(goal)} {middle - 8}V{middle + 8}" stroke="{_RED}" stroke-width="2"/>'
    right = scale(max(part["highest"], part["ratio"])) + 10
    yield f'<text x="{right}" y="{middle + 4}" fill="{_INK}">{words.ratio(part["ratio"])}</text>'
