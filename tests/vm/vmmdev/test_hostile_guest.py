"""A guest whose root is a stranger: whatever it writes into its memory, the device goes on and reaches nothing else."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from boinc2docker.vm.vmmdev.device import Request, VmmDev
from boinc2docker.vm.vmmdev.folder_format import Function
from boinc2docker.vm.vmmdev.guest_memory import BadAddressError, GuestMemory
from boinc2docker.vm.vmmdev.shared_folders import Host, SharedFolders

BASE, SIZE = 0x1000, 0x4000


class Bus:
    """A machine with 16 KB of memory."""

    def __init__(self) -> None:
        self.memory = GuestMemory()
        file = os.memfd_create("ram")
        os.ftruncate(file, SIZE)
        self.memory.map(BASE, SIZE, file, 0)

    def interrupt(self) -> None:
        pass


def parameter() -> st.SearchStrategy[bytes]:
    """16 bytes: of a kind that there is, with numbers that are small or wild."""
    number = st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))
    kind = st.sampled_from([0, 1, 2, 4, 5, 9, 10, 10, 10, 11])
    return st.builds(lambda *numbers: struct.pack("<IIII", *numbers), kind, number, number, number)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(
    function=st.sampled_from([int(one) for one in Function]),
    parameters=st.lists(parameter(), max_size=8),
    lists=st.binary(max_size=400),
    at=st.sampled_from([BASE, BASE + 1, BASE + SIZE - 60, BASE + SIZE - 1, 0, 2**32 - 8]),
    kind=st.sampled_from([Request.CALL_64, Request.CALL_32, Request.CONNECT, Request.DISCONNECT, 7, 2**32 - 1]),
)
@example(
    Function.CREATE, [struct.pack("<IIII", 10, 16 << 20, 60, 0)], b"\x03\0\0\0\xff\xff\xff\xff", BASE, Request.CALL_64
)
def test_no_request_ends_the_device(
    tmp_path_factory: pytest.TempPathFactory, function: int, parameters: list[bytes], lists: bytes, at: int, kind: int
) -> None:
    folder = tmp_path_factory.mktemp("guest") / "shared"
    folder.mkdir()
    bus = Bus()
    device = VmmDev(bus, {"VBoxSharedFolders": lambda: SharedFolders(Host({"shared": str(folder)}))})
    head = struct.pack("<IIIiIIIi", 168, 0x10001, Request.CONNECT, 0, 0, 0, 0, 0)
    connect = head + struct.pack("<I", 2) + b"VBoxSharedFolders".ljust(132, b"\0")
    bus.memory.write(BASE, connect)
    device.write(0, 0, struct.pack("<I", BASE))
    device.after()
    assert bus.memory.read(BASE + 164, 4) == b"\1\0\0\0", "connected"
    call = struct.pack("<IIIiIIIi", 64, 0x10001, kind, 0, 0, 0, 0, 0)
    call += struct.pack("<III", 1, function, len(parameters)) + b"".join(parameters) + lists
    bus.memory.write(BASE, bytes(SIZE))
    room = max(0, min(len(call), BASE + SIZE - at)) if at >= BASE else 0
    if room:
        bus.memory.write(at, call[:room])
    try:
        device.write(0, 0, struct.pack("<I", at & 0xFFFFFFFF))
        device.after()
    except BadAddressError:
        assert at < BASE or at > BASE + SIZE - 100, "only where the request itself is nowhere"
    assert [one.name for one in folder.parent.iterdir()] == ["shared"]


@given(st.integers(0, 2**64), st.integers(0, 2**32))
def test_no_address_reaches_beyond_the_memory(address: int, count: int) -> None:
    bus = Bus()
    inside = address >= BASE and address + count <= BASE + SIZE
    if inside:
        assert len(bus.memory.read(address, count)) == count
    else:
        with pytest.raises(BadAddressError):
            bus.memory.read(address, count)


def test_a_section_larger_than_its_file_is_not_believed(tmp_path: Path) -> None:
    """Touching a mapping beyond its file's end would kill the process."""
    memory = GuestMemory()
    file = os.memfd_create("ram")
    os.ftruncate(file, mmap.PAGESIZE)
    memory.map(0, 16 * mmap.PAGESIZE, file, 0)
    assert memory.read(0, mmap.PAGESIZE) == bytes(mmap.PAGESIZE)
    with pytest.raises(BadAddressError):
        memory.read(mmap.PAGESIZE, 1)
