"""Open files by number, and what becomes of the numbers when a saved state is restored.

VirtualBox saves a machine's mappings but not its handles (VBoxSharedFoldersSvc.cpp, svcSaveState), and the process that
restores it counts from 1 again (shflhandle.cpp: one table of 4096, the next free index). The guest's kernel knows
nothing of it: it uses the numbers it had, and each may be another file's by now.

Here a number also carries, above the index, how many restores came before it. The guest cannot tell; so a call with an
old number does to the new file what it would do under VirtualBox, and is counted.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from boinc2docker.vm.vmmdev.folder_format import INVALID_HANDLE, NO_MEMORY, CallError

MOST = 4096
_INDICES = 1 << 16


@dataclass(slots=True)
class Handle:
    """An open file or directory of the shared folder number ``root``."""

    root: int
    descriptor: int
    path: str
    """As the guest named it, for reports."""
    is_directory: bool = False
    writable: bool = False
    entries: Iterator[str] | None = None
    kept: bytes = b""
    """A directory's entry that did not fit into the last answer."""

    def identity(self) -> tuple[int, int]:
        facts = os.fstat(self.descriptor)
        return facts.st_dev, facts.st_ino


@dataclass
class StaleCalls:
    """Calls on numbers from before a restore. ``hits``: call, the file it was meant for, the file it reached."""

    writes: int = 0
    closes: int = 0
    others: int = 0
    refused: int = 0
    hits: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, call: str, meant: str, reached: str) -> None:
        """A call reached another file than it was meant for."""
        if call == "write":
            self.writes += 1
        elif call == "close":
            self.closes += 1
        else:
            self.others += 1
        if len(self.hits) < 1000:
            self.hits.append((call, meant, reached))


class HandleTable:
    """The handles of one client."""

    def __init__(self, stale: StaleCalls) -> None:
        self._stale = stale
        self._open: dict[int, Handle] = {}
        self._before: dict[int, tuple[str, tuple[int, int]]] = {}
        self._next = 1
        self._restores = 0

    def add(self, handle: Handle) -> int:
        """The number of a newly opened file. Raises CallError (and closes it) if all are taken."""
        index = next(
            (one for one in itertools.chain(range(self._next, MOST), range(1, self._next)) if one not in self._open), 0
        )
        if not index:
            os.close(handle.descriptor)
            raise CallError(NO_MEMORY)
        self._open[index] = handle
        self._next = index + 1 if index + 1 < MOST else 1
        return self._restores * _INDICES + index

    def find(self, number: int, root: int, call: str) -> Handle:
        """The file that ``number`` means to the host now. Raises CallError if it means none."""
        restores, index = divmod(number, _INDICES)
        handle = self._open.get(index)
        if handle is None or handle.root != root or restores > self._restores:
            self._stale.refused += number in self._before
            raise CallError(INVALID_HANDLE)
        if number in self._before:
            meant, identity = self._before[number]
            if identity != handle.identity():
                self._stale.note(call, meant, handle.path)
        return handle

    def remove(self, number: int) -> None:
        """Forgets a number that ``find`` has found."""
        del self._open[number % _INDICES]
        self._before.pop(number, None)

    def restore(self) -> None:
        """What a guest finds after its saved state was restored: all handles are gone, numbers start at 1 again."""
        for index, handle in self._open.items():
            self._before[self._restores * _INDICES + index] = handle.path, handle.identity()
            os.close(handle.descriptor)
        self._open.clear()
        self._next = 1
        self._restores += 1

    def __len__(self) -> int:
        return len(self._open)
