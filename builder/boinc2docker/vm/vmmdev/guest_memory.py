"""The guest's memory, shared by QEMU: physical addresses to bytes."""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass


class BadAddressError(Exception):
    """The guest named an address where it has no memory."""


@dataclass(frozen=True)
class _Section:
    address: int
    size: int
    memory: mmap.mmap
    offset: int


class GuestMemory:
    """Reads and writes a guest's RAM. Works only with ``memory-backend-memfd,share=on``."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, int], mmap.mmap] = {}
        self._sections: list[_Section] = []

    def map(self, address: int, size: int, descriptor: int | None, offset: int) -> None:
        """Makes ``size`` bytes of the file visible at ``address``; closes the descriptor. Raises OSError.

        Without a descriptor it is ROM, or RAM that is not shared: no request of the guest lies there.
        """
        if descriptor is None:
            return
        try:
            facts = os.fstat(descriptor)
            key = facts.st_dev, facts.st_ino
            if key not in self._files:  # one mapping for each file, however many sections it has
                self._files[key] = mmap.mmap(descriptor, facts.st_size, mmap.MAP_SHARED)
        finally:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._sections.append(_Section(address, size, self._files[key], offset))
        self._sections.sort(key=lambda section: -section.size)

    def unmap(self, address: int, size: int) -> None:
        """Forgets the sections that begin in this range."""
        end = address + size
        self._sections = [one for one in self._sections if not address <= one.address < end]

    def unmap_all(self) -> None:
        """Forgets all sections."""
        self._sections = []

    def read(self, address: int, count: int) -> bytes:
        """Raises BadAddressError."""
        memory, at = self._find(address, count)
        return memory[at : at + count]

    def write(self, address: int, data: bytes) -> None:
        """Raises BadAddressError."""
        memory, at = self._find(address, len(data))
        memory[at : at + len(data)] = data

    def _find(self, address: int, count: int) -> tuple[mmap.mmap, int]:
        for section in self._sections:
            if section.address <= address and address + count <= section.address + section.size:
                at = section.offset + address - section.address
                if at + count <= len(section.memory):
                    return section.memory, at
        raise BadAddressError(f"no guest memory at {address:#x}+{count:#x}")
