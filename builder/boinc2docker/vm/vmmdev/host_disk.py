"""The host's disk as the guest is to find it: full after so many bytes, or from one moment on."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass


@dataclass
class HostDisk:
    """Files can grow by ``budget`` bytes in all (None: as far as the real disk goes); by none while ``full``.

    As on a real disk, what a file has already can be overwritten on a full one, and removing files makes room.
    """

    budget: int | None = None
    full: bool = False
    grown: int = 0
    refused: int = 0

    def allowed(self, size: int, offset: int, count: int) -> int:
        """How many of ``count`` bytes can be written at ``offset`` into a file of ``size``. Raises OSError for none."""
        room = self.room()
        inside = max(0, min(count, size - offset))
        if room is None or count <= inside:
            return count
        # Bytes between the end and the offset take no room, like a hole.
        allowed = min(count, inside + room)
        if allowed <= 0:
            raise self._refusal()
        return allowed

    def require_room(self) -> None:
        """Raises OSError if nothing new fits."""
        if self.room() == 0:
            raise self._refusal()

    def changed(self, before: int, after: int) -> None:
        """A file's size has changed; a removed one's to 0."""
        self.grown += after - before

    def room(self) -> int | None:
        """Bytes that can still be written; None: as many as the real disk has."""
        if self.full:
            return 0
        return None if self.budget is None else max(0, self.budget - self.grown)

    def toggle(self) -> None:
        """Full from now on, or no longer."""
        self.full = not self.full

    def _refusal(self) -> OSError:
        self.refused += 1
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
