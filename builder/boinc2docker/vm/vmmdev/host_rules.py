"""What a host's system allows to do with files. This is a POSIX host; another one overrides it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boinc2docker.vm.vmmdev.host_tree import Place


class HostRules:
    """A POSIX host: names are bytes, open files can be renamed, replaced and removed."""

    scanner = 0.0
    """For so many seconds a virus scanner has open what was just written."""

    def on_disk(self, _directory: int, name: bytes) -> bytes:
        """The name that ``name`` has in the open directory. Raises CallError if this host has no such names."""
        return name

    def mode(self, facts: os.stat_result) -> int:
        """The mode that the guest is told."""
        return facts.st_mode

    def set_mode(self, descriptor: int, mode: int, *, directory: bool) -> None:
        """Sets permissions, as ``vbsfSetFileInfo`` does: the owner keeps the right to read. Raises OSError."""
        os.fchmod(descriptor, mode & 0o777 | (0o500 if directory else 0o400))

    def require_writable(self, facts: os.stat_result) -> None:
        """Raises CallError if a file with these facts cannot be opened for writing."""

    def opened(self, descriptor: int) -> None:
        """A file was opened for the guest."""

    def closing(self, descriptor: int, *, writable: bool) -> None:
        """A file is about to be closed."""

    def require_removable(self, place: Place) -> None:
        """Raises CallError if the file cannot be removed."""

    def require_movable(self, source: Place, target: Place) -> None:
        """Raises CallError if ``source`` cannot be renamed to ``target``."""


def is_directory(facts: os.stat_result) -> bool:
    return stat.S_ISDIR(facts.st_mode)
