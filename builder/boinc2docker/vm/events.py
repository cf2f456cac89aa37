"""What a machine writes while it runs: the guest's events, and the reason of a kernel panic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_EVENT = re.compile(r"b2d (\d{1,9}\.\d{1,3}) ([a-z][a-z-]{0,30}) ?(.*)")
_PANIC = re.compile(r"(?:\[ *\d+\.\d+\] ?(?:\[[ TC0-9]+\] ?)?)?(Kernel panic - not syncing: .*)")
_LONGEST = 4096
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Event:
    """One line ``b2d <uptime> <phase> <text>``; ``uptime`` in seconds since the guest's kernel started."""

    uptime: float
    phase: str
    text: str


def parse_event(line: str) -> Event | None:
    """Parses a line; None if it is not an event. Control characters in its text become ``?``."""
    found = _EVENT.fullmatch(line)
    if found is None:
        return None
    text = "".join(character if character.isprintable() else "?" for character in found[3])
    return Event(float(found[1]), found[2], text)


def parse_panic(line: str) -> str | None:
    """Returns the reason of a panic if the line is the one that a Linux kernel prints for it."""
    found = _PANIC.fullmatch(line)
    return found[1] if found else None


class Tail:
    """Follows a file that another process writes. Each ``poll`` returns the lines completed since the last one."""

    def __init__(self, path: Path) -> None:
        self._path, self._position, self._partial = path, 0, b""

    def poll(self) -> list[str]:
        """Returns new lines without their ends, cut at 4096 bytes; none if the file does not exist yet."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._position)
                data = stream.read(_AT_ONCE)
        except FileNotFoundError:
            return []
        self._position += len(data)
        *whole, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[:_LONGEST]
        return [line[:_LONGEST].rstrip(b"\r").decode(errors="replace") for line in whole]


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a console log, for an error message."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - (64 << 10)))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    lines = ["".join(c if c.isprintable() else "?" for c in line.rstrip("\r")) for line in text.split("\n")]
    return "\n".join([line[:300] for line in lines if line.strip()][-count:])
