"""The documents' pictures, made from texts: ``python -m ci.pictures`` writes them; a test sees that they are current.

``flow.svg`` and ``house.svg`` are drawn from the lines below; ``run.svg`` from ``run.txt``, what a real run printed
(with relative paths; on an emulated machine without hardware virtualisation).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from rich.console import Console
from rich.text import Text

from boinc2docker import atomic
from tests.equipment.checkout import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "docs" / "pictures"

FLOW = """\
You | an image and a command | run: try it here | submit: 1 or 100 000 jobs
BOINC project | work units, layers if wanted | vboxwrapper and the ISO, signed | results, validated and kept
Volunteer | VirtualBox boots the ISO | layers from the store or a registry | docker run, then results.tgz
"""
"""One box a line: its title, and what is in it or happens there. Arrows lead from each to the next and back."""

HOUSE = """\
cli | the program, the table of options, one module a command
release | what anybody can rebuild and check
submission | jobs into work units; their status and end
container | a job for hosts with Docker or Podman
vm app | a machine that runs the ISO; a BOINC app, packaged and installed
job | image + words + inputs; it does not know who runs it
base image results iso | bases; container images; what comes back; what is done to an ISO
fetch store project | downloads; a host's layers; everything known about a BOINC project
formats locks | byte formats; exclusion of other processes
atomic programs extras | whole files, other programs, optional packages
console leftovers digest sizes typed | messages, temporary files, digests, sizes, what was typed
plain_text places | texts of strangers, made harmless; where things are
errors | the one tree of errors
"""
"""One floor of the package a line, from the top: its parts | what they do. A part imports only what stands below it."""

ARROWS = (("job, ISO", "results"), ("task", "results.tgz"))
"""What goes from each box to the next, and what comes back."""

_WIDTH, _BOX, _LINE, _GAP = 960, 236, 24, 126
_ROOF, _FLOOR, _ROOMS = 44, 34, 400


@dataclass(frozen=True)
class Box:
    """A box of the flow."""

    title: str
    lines: tuple[str, ...]


def boxes(text: str) -> list[Box]:
    """The boxes that ``text`` describes."""
    found = []
    for line in text.splitlines():
        title, *rest = (part.strip() for part in line.split("|"))
        found.append(Box(title, tuple(rest)))
    return found


def flow(described: list[Box]) -> str:
    """The flow as SVG: boxes in a row, arrows there and back."""
    height = 60 + _LINE * max(len(box.lines) for box in described)
    frame = f'width="{_WIDTH}" height="{height + 16}" viewBox="0 0 {_WIDTH} {height + 16}"'
    tip = 'markerWidth="8" markerHeight="8" refX="7" refY="4"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} font-family="sans-serif" font-size="13">',
        f'<defs><marker id="tip" {tip} orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#444444"/></marker></defs>',
        f'<rect width="{_WIDTH}" height="{height + 16}" fill="#ffffff"/>',
    ]
    for number, box in enumerate(described):
        left = 1 + number * (_BOX + _GAP - 1)
        parts += _box(box, left, height)
        if number + 1 < len(described):
            parts += _arrows(ARROWS[number], left + _BOX, height)
    return "\n".join([*parts, "</svg>", ""])


def _box(box: Box, left: int, height: int) -> list[str]:
    middle = left + _BOX // 2
    outline = f'<rect x="{left}" y="8" width="{_BOX}" height="{height}" rx="8" fill="#eef3fa" stroke="#34537a"/>'
    title = f'<text x="{middle}" y="34" text-anchor="middle" font-weight="bold">{escape(box.title)}</text>'
    lines = [
        f'<text x="{middle}" y="{60 + number * _LINE}" text-anchor="middle">{escape(line)}</text>'
        for number, line in enumerate(box.lines)
    ]
    return [outline, title, *lines]


def _arrows(labels: tuple[str, str], left: int, height: int) -> list[str]:
    right, middle = left + _GAP - 1, left + _GAP // 2
    there, back = height // 2 - 12, height // 2 + 28
    line = 'stroke="#444444" marker-end="url(#tip)"'
    return [
        f'<line x1="{left + 6}" y1="{there}" x2="{right - 6}" y2="{there}" {line}/>',
        f'<text x="{middle}" y="{there - 7}" text-anchor="middle" font-size="12">{escape(labels[0])}</text>',
        f'<line x1="{right - 6}" y1="{back}" x2="{left + 6}" y2="{back}" {line}/>',
        f'<text x="{middle}" y="{back - 7}" text-anchor="middle" font-size="12">{escape(labels[1])}</text>',
    ]


def floors(text: str) -> list[tuple[tuple[str, ...], str]]:
    """The floors that ``text`` describes: their parts, and what they do."""
    split = (line.partition("|") for line in text.splitlines())
    return [(tuple(parts.split()), what.strip()) for parts, _, what in split]


def house(described: list[tuple[tuple[str, ...], str]]) -> str:
    """The house as SVG: a roof, and a row of rooms for each floor with what it is for beside it."""
    height = _ROOF + _FLOOR * len(described) + 8
    frame = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<path d="M4,{_ROOF} L{4 + _ROOMS // 2},6 L{4 + _ROOMS},{_ROOF} z" fill="#34537a"/>',
    ]
    for number, (rooms, what) in enumerate(described):
        top = _ROOF + number * _FLOOR
        width = _ROOMS / len(rooms)
        for place, room in enumerate(rooms):
            left = 4 + place * width
            parts += [
                f'<rect x="{left:g}" y="{top}" width="{width:g}" height="{_FLOOR}" fill="#eef3fa" stroke="#34537a"/>',
                f'<text x="{left + width / 2:g}" y="{top + 22}" text-anchor="middle" font-weight="bold">{room}</text>',
            ]
        parts.append(f'<text x="{_ROOMS + 20}" y="{top + 22}">{escape(what)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def transcript(text: str) -> str:
    """A terminal with ``text``, whose lines beginning with ``$`` are what was typed."""
    console = Console(record=True, width=110, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in text.splitlines():
        style = "bold white" if line.startswith("$") else "green" if line.startswith("Hello") else ""
        console.print(Text(line, style=style))
    drawn = console.export_svg(title="boinc2docker", unique_id="run")
    return "\n".join(part.rstrip() for part in drawn.splitlines()) + "\n"


def pictures() -> dict[Path, str]:
    """Every picture's file and text."""
    run = (FOLDER / "run.txt").read_text(encoding="utf-8")
    return {
        FOLDER / "flow.svg": flow(boxes(FLOW)),
        FOLDER / "house.svg": house(floors(HOUSE)),
        FOLDER / "run.svg": transcript(run),
    }


if __name__ == "__main__":
    for path, text in pictures().items():
        atomic.write_text(path, text)
