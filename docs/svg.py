"""A drawing of steps, top down: one band a step, one card a kind of unit. Knows shapes, nothing of the engine."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 760
_LEFT, _RIGHT = 52, WIDTH - 24
_GAP, _PAD, _LINE = 30, 12, 17
_CHARACTER = 6.1
"""Mean width of a character of the running text in pixels; boxes are sized by it, as SVG does not wrap."""

QUEUE_COLORS = {"workflow": "#4757a8", "process": "#1f8a70"}


@dataclass(frozen=True, slots=True)
class Card:
    """One kind of unit in a step; `many` draws it as a pile, `by` names the card of the step before that adds it."""

    action: str
    text: str
    queue: str
    labels: str = ""
    many: bool = False
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """One step, and the workflow that it comes from where a drawing joins several."""

    name: str
    cards: tuple[Card, ...]
    group: str = ""


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        return self.y + self.height


def draw(title: str, bands: Sequence[Band]) -> str:
    """The whole picture as an SVG document."""
    parts: list[str] = []
    places: list[dict[str, _Box]] = []
    spans: list[tuple[str, float, float]] = []
    y = 64.0
    for number, band in enumerate(bands, start=1):
        boxes, bottom = _band(parts, number, band, y)
        _arrows(parts, band, boxes, places[-1] if places else {})
        places.append(boxes)
        spans.append((band.group, y, bottom))
        if number < len(bands):
            parts.append(_arrow(32, bottom, bottom + _GAP))
        y = bottom + _GAP
    _groups(parts, spans)
    legend = _legend(y)
    return _document(title, [*parts, *legend], y + 62)


def _document(title: str, parts: Sequence[str], height: float) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="12">\n'
        f"<title>{escape(title)}</title>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#5b6270"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{height:g}" rx="10" fill="#fbfcfe"/>\n'
        + _text(20, 34, title, size=16, weight=600)
    )
    return "\n".join((head, *parts, "</svg>")) + "\n"


def _band(parts: list[str], number: int, band: Band, y: float) -> tuple[dict[str, _Box], float]:
    columns = 2 if len(band.cards) > 1 else 1
    width = (_RIGHT - _LEFT - 2 * _PAD - (columns - 1) * _PAD) / columns
    boxes: dict[str, _Box] = {}
    top, inside = y + 34, []
    for start in range(0, len(band.cards), columns):
        row = band.cards[start : start + columns]
        height = max(_card_height(card, width) for card in row)
        for column, card in enumerate(row):
            box = _Box(_LEFT + _PAD + column * (width + _PAD), top, width, height)
            boxes[card.action] = box
            inside += _card(card, box)
        top += height + _PAD
    frame = f'<rect x="{_LEFT}" y="{y:g}" width="{_RIGHT - _LEFT}" height="{top - y:g}" rx="8" fill="#eef1f7"/>'
    disc = f'<circle cx="32" cy="{y + 20:g}" r="12" fill="#2b3040"/>'
    digit = _text(32, y + 24, str(number), fill="#ffffff", anchor="middle", weight=600)
    parts += [frame, disc, digit, _text(_LEFT + _PAD, y + 23, band.name, size=13, weight=600), *inside]
    return boxes, top


def _lines(card: Card, width: float) -> list[str]:
    room = int((width - 28) / _CHARACTER)
    return [*textwrap.wrap(card.text, room), *textwrap.wrap(card.labels, room)]


def _card_height(card: Card, width: float) -> float:
    return 30 + _LINE * len(_lines(card, width))


def _card(card: Card, box: _Box) -> list[str]:
    shape = f'width="{box.width:g}" height="{box.height:g}" rx="5" fill="#ffffff" stroke="#c4cad8"'
    found = []
    if card.many:
        found += [f'<rect x="{box.x + by:g}" y="{box.y + by:g}" {shape}/>' for by in (6, 3)]
    found.append(f'<rect x="{box.x:g}" y="{box.y:g}" {shape}/>')
    color = QUEUE_COLORS[card.queue]
    found.append(f'<rect x="{box.x:g}" y="{box.y:g}" width="5" height="{box.height:g}" rx="2" fill="{color}"/>')
    found.append(_text(box.x + 16, box.y + 20, card.action, fill=color, weight=600, mono=True))
    told = len(textwrap.wrap(card.text, int((box.width - 28) / _CHARACTER)))
    for number, line in enumerate(_lines(card, box.width)):
        fill = "#2b3040" if number < told else "#6b7385"
        found.append(_text(box.x + 16, box.y + 38 + _LINE * number, line, fill=fill))
    return found


def _arrows(parts: list[str], band: Band, boxes: dict[str, _Box], before: dict[str, _Box]) -> None:
    for card in band.cards:
        if card.by in before:
            source, target = before[card.by], boxes[card.action]
            parts.append(_arrow(target.x + target.width - 40, source.bottom, target.y, dashed=True))


def _arrow(x: float, top: float, bottom: float, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return (
        f'<path d="M{x:g} {top + 2:g}V{bottom - 2:g}" stroke="#5b6270" stroke-width="1.5"{dash} fill="none" '
        'marker-end="url(#tip)"/>'
    )


def _groups(parts: list[str], spans: Sequence[tuple[str, float, float]]) -> None:
    """Name the workflow beside the first step that comes from it."""
    before = ""
    for group, top, _ in spans:
        if group and group != before:
            parts.append(_text(_RIGHT - _PAD, top + 23, group, anchor="end", fill="#6b7385", weight=600))
        before = group


def _legend(y: float) -> list[str]:
    found, x = [], 52.0
    for queue, color in sorted(QUEUE_COLORS.items()):
        found.append(f'<rect x="{x:g}" y="{y - 2:g}" width="5" height="14" rx="2" fill="{color}"/>')
        found.append(_text(x + 12, y + 10, f"queue {queue}"))
        x += 120
    found.append(_text(x, y + 10, "a pile: several units, done side by side"))
    found.append(_text(52, y + 32, "solid: opens when the last unit of the step before is done"))
    found.append(_text(412, y + 32, "dashed: adds units to the next step"))
    return found


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    fill: str = "#2b3040",
    weight: int = 400,
    anchor: str = "start",
    mono: bool = False,
) -> str:
    family = ' font-family="ui-monospace, monospace"' if mono else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
        f'{family} fill="{fill}">{escape(text)}</text>'
    )
