"""A job's output while the job runs: the pieces that the guest's ``bin/stream`` writes to an I/O port.

A piece is one byte, ``1`` for stdout or ``2`` for stderr, the length in two bytes, the low one first, and 1 to 4096
bytes (guest/overlay/opt/boinc2docker/bin/stream.hex0). QEMU's debug console writes what arrives at the port to a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

Name = Literal["stdout", "stderr"]
Show = Callable[[Name, bytes], None]

SENT_BYTES = 16 << 20
"""Of each stream: the guest sends no more than this (and the rest of the piece that reaches it)."""
_NAMES: dict[int, Name] = {ord("1"): "stdout", ord("2"): "stderr"}
_HEADER = 3
_LONGEST = 4096
_AT_ONCE = 1 << 20


class Pieces:
    """Takes bytes as they come, cut anywhere, and gives whole pieces. Pure."""

    def __init__(self) -> None:
        self._pending = b""
        self.damaged = False
        """True after something that is no piece: nothing is made of what follows."""

    def feed(self, data: bytes) -> list[tuple[Name, bytes]]:
        """The pieces that ``data`` completes, in their order."""
        self._pending += data
        found: list[tuple[Name, bytes]] = []
        start = 0
        while not self.damaged and len(self._pending) - start >= _HEADER:
            name = _NAMES.get(self._pending[start])
            length = int.from_bytes(self._pending[start + 1 : start + _HEADER], "little")
            if name is None or not 1 <= length <= _LONGEST:
                self.damaged = True
                break
            end = start + _HEADER + length
            if end > len(self._pending):
                break
            found.append((name, self._pending[start + _HEADER : end]))
            start = end
        self._pending = b"" if self.damaged else self._pending[start:]
        return found


class LiveOutput:
    """Follows the file of pieces and hands each to ``show``; counts the bytes of each stream in ``shown``."""

    def __init__(self, path: Path, show: Show) -> None:
        self._path, self._show = path, show
        self._pieces = Pieces()
        self._position = 0
        self.shown: dict[Name, int] = {"stdout": 0, "stderr": 0}

    def poll(self) -> None:
        """Shows what is new, a megabyte at most. A file that is not there yet has nothing."""
        if self._pieces.damaged:
            return
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._position)
                data = stream.read(_AT_ONCE)
        except FileNotFoundError:
            return
        self._position += len(data)
        for name, piece in self._pieces.feed(data):
            self.shown[name] += len(piece)
            self._show(name, piece)

    def finish(self) -> None:
        """Shows all that is left, once nobody writes any more."""
        before = -1
        while self._position != before:
            before = self._position
            self.poll()
