"""HGCM calls: a function of a host service with parameters, as they lie in a guest's memory.

Source: Linux 6.12, drivers/virt/vboxguest/vboxguest_utils.c and include/uapi/linux/vbox_vmmdev_types.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from boinc2docker.vm.vmmdev.guest_memory import GuestMemory

OK, INVALID_PARAMETER = 0, -2
LARGEST_BUFFER = 16 << 20
_MOST_PARAMETERS = 32
_PAGE = 4096
_HEADER = 32
"""Bytes of a request before a call's own: the request's header, flags and result."""
_TO_HOST, _FROM_HOST = 1, 2


class _Kind(IntEnum):
    NUMBER_32 = 1
    NUMBER_64 = 2
    ADDRESS = 4  # to 9: pointers, which Linux uses for empty buffers only
    LAST_ADDRESS = 9
    PAGES = 10


@dataclass(slots=True)
class Parameter:
    """One parameter of a call. ``data`` is a copy of a buffer of ``size`` bytes; ``out`` is written to its start."""

    value: int = 0
    data: bytes = b""
    size: int = 0
    out: bytes | None = None


Service = Callable[[int, list[Parameter]], int]
"""A client's connection: called with a function's number and the parameters, returns a VirtualBox status."""


@dataclass(slots=True)
class _Place:
    """Where a parameter lies: its kind, and a buffer's pages as (address, bytes) with their direction."""

    kind: int
    direction: int
    pages: list[tuple[int, int]]


@dataclass(slots=True)
class Call:
    """A call that was read from the guest."""

    client: int
    function: int
    parameters: list[Parameter]
    _places: list[_Place]

    def write_back(self, memory: GuestMemory, request: int) -> None:
        """Puts numbers and filled buffers where the guest expects them. Raises BadAddressError."""
        for index, (parameter, place) in enumerate(zip(self.parameters, self._places, strict=True)):
            where = request + _HEADER + 12 + 16 * index + 4
            if place.kind == _Kind.NUMBER_32:
                memory.write(where, struct.pack("<I", parameter.value & 0xFFFFFFFF))
            elif place.kind == _Kind.NUMBER_64:
                memory.write(where, struct.pack("<Q", parameter.value & (1 << 64) - 1))
            elif parameter.out is not None and place.direction & _FROM_HOST:
                _scatter(memory, place.pages, parameter.out[: parameter.size])


def read_call(memory: GuestMemory, request: int) -> Call | None:
    """The call in the request at this address; None if it is malformed. Raises BadAddressError."""
    client, function, count = struct.unpack("<III", memory.read(request + _HEADER, 12))
    if count > _MOST_PARAMETERS:
        return None
    raw = memory.read(request + _HEADER + 12, 16 * count)
    parameters, places = [], []
    for index in range(count):
        read = _parameter(memory, request, raw[16 * index : 16 * index + 16])
        if read is None:
            return None
        parameters.append(read[0])
        places.append(read[1])
    return Call(client, function, parameters, places)


def _parameter(memory: GuestMemory, request: int, raw: bytes) -> tuple[Parameter, _Place] | None:
    kind, first, second = struct.unpack_from("<III", raw)
    if kind == _Kind.NUMBER_32:
        return Parameter(value=first), _Place(kind, 0, [])
    if kind == _Kind.NUMBER_64:
        return Parameter(value=first | second << 32), _Place(kind, 0, [])
    if kind == _Kind.PAGES and first <= LARGEST_BUFFER:
        direction, pages = _pages(memory, request + second, first)
        data = b"".join(memory.read(*page) for page in pages) if direction & _TO_HOST else b""
        return Parameter(data=data, size=first), _Place(kind, direction, pages)
    if _Kind.ADDRESS <= kind <= _Kind.LAST_ADDRESS and first == 0:
        return Parameter(), _Place(kind, 0, [])
    return None


def _pages(memory: GuestMemory, address: int, size: int) -> tuple[int, list[tuple[int, int]]]:
    """The page list at ``address``: its direction, and (address, bytes) of each piece."""
    direction, skip, count = struct.unpack("<IHH", memory.read(address, 8))
    pieces, left = [], size
    for page in struct.unpack(f"<{count}Q", memory.read(address + 8, 8 * count)):
        take = max(0, min(_PAGE - skip, left))
        pieces.append((page + skip, take))
        left, skip = left - take, 0
    return direction, pieces


def _scatter(memory: GuestMemory, pages: list[tuple[int, int]], data: bytes) -> None:
    at = 0
    for address, size in pages:
        if at >= len(data):
            return
        memory.write(address, data[at : at + size])
        at += size
