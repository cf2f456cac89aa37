"""A shared directory of this host, from which no name leads out.

Every part of a path is opened by itself, without following links: not the guest's names, not links that lie there, and
nobody who swaps a directory for a link meanwhile, get a call anywhere else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from boinc2docker.vm.vmmdev.host_rules import HostRules

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class Place:
    """Where a name is, or would be: an open directory and a name in it (``.`` for the shared directory itself)."""

    directory: int
    name: bytes

    def facts(self) -> os.stat_result:
        """The object's own, a link's too. Raises OSError."""
        return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)

    def open(self, flags: int, mode: int = 0) -> int:
        """Opens the object, never a link, and does not wait for a pipe's other end. Raises OSError."""
        own = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(self.name, flags | own, mode, dir_fd=self.directory)


@dataclass(frozen=True)
class HostTree:
    """The directory ``root``. It is found anew for each call, so that it may be replaced while the guest runs."""

    root: str
    rules: HostRules

    @contextlib.contextmanager
    def place(self, parts: Sequence[bytes]) -> Iterator[Place]:
        """Where a path leads. Raises CallError for an impossible name, OSError (ENOENT, ENOTDIR) for its parents."""
        directory = os.open(self.root, _DIRECTORY)
        try:
            for part in parts[:-1]:
                below = os.open(self.rules.on_disk(directory, part), _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                os.close(directory)
                directory = below
            yield Place(directory, self.rules.on_disk(directory, parts[-1]) if parts else b".")
        finally:
            os.close(directory)

    def size(self) -> os.statvfs_result:
        """The file system's size. Raises OSError."""
        return os.statvfs(self.root)


def names_in(directory: int) -> list[str]:
    """The names in an open directory, without ``.`` and ``..``. Raises OSError."""
    with os.scandir(directory) as found:
        return [one.name for one in found]
