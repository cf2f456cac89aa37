"""A comparison of figures as an SVG picture: one bar a ratio, on a scale where a halving is as long as a doubling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from boinc2docker.errors import InputError
from ci.bench.figures import Better, Row, better

_WIDTH, _LABEL, _VALUES, _LINE = 960, 330, 190, 22
_WORSE, _BETTER, _NEITHER = "#c0504d", "#4f8f4f", "#808080"
_TOLERANCE = 0.02
_HEADING = "new / old: less is to the left; green is better, red is worse, grey neither"


def draw(rows: Sequence[Row]) -> str:
    """The picture's text. Raises InputError if no figure is in both files."""
    shown = [row for row in rows if row.ratio]
    if not shown:
        raise InputError("nothing-to-draw", "no figure is in both files")
    span = max(1.0, *(abs(math.log2(row.ratio)) for row in shown if row.ratio))
    height = _LINE * len(shown) + 60
    room = (_WIDTH - _LABEL - _VALUES) / 2
    middle = _LABEL + room
    frame = f'width="{_WIDTH}" height="{height}"'
    view = f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} {view}>',
        f'<rect {frame} fill="#ffffff"/>',
        f'<text x="{middle}" y="20" text-anchor="middle">{_HEADING}</text>',
    ]
    for number, row in enumerate(shown):
        lines += _bar(row, 34 + number * _LINE, middle, room, span)
    lines.append(f'<line x1="{middle}" y1="28" x2="{middle}" y2="{height - 20}" stroke="#000000"/>')
    return "\n".join([*lines, "</svg>", ""])


def _bar(row: Row, top: float, middle: float, room: float, span: float) -> list[str]:
    assert row.ratio is not None  # noqa: S101 - draw() chose these
    assert row.old is not None  # noqa: S101
    assert row.new is not None  # noqa: S101
    length = room * math.log2(row.ratio) / span
    left, width = min(middle, middle + length), max(abs(length), 1)
    colour = _colour(row.name, row.ratio)
    base = top + _LINE - 8
    return [
        f'<text x="{_LABEL - 8}" y="{base:g}" text-anchor="end">{_shown(row.name)}</text>',
        f'<rect x="{left:.1f}" y="{top + 3:g}" width="{width:.1f}" height="{_LINE - 6}" fill="{colour}"/>',
        f'<text x="{_WIDTH - _VALUES + 8}" y="{base:g}">{row.ratio:.2f}× ({row.old:g} → {row.new:g})</text>',
    ]


def _colour(name: str, ratio: float) -> str:
    way = better(name)
    if way is Better.NEITHER or abs(ratio - 1) <= _TOLERANCE:
        return _NEITHER
    return _BETTER if (ratio > 1) == (way is Better.MORE) else _WORSE


def _shown(name: str) -> str:
    """A name as XML text; what cannot be printed may not stand there."""
    return escape("".join(letter if letter.isprintable() else "?" for letter in name))
