"""What only a fault shows: a restored saved state, a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.vm.vmmdev import folder_format as fmt
from boinc2docker.vm.vmmdev.handles import MOST
from boinc2docker.vm.vmmdev.host_disk import HostDisk
from tests.vm.vmmdev.kernel import EMPTIED_FILE, NEW_DIRECTORY, NEW_FILE, OLD_DIRECTORY, OLD_FILE, Kernel


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel.of(tmp_path)


def test_after_a_restore_no_handle_is_one(kernel: Kernel) -> None:
    handle, folder = kernel.open("/log", NEW_FILE), kernel.open("/", OLD_DIRECTORY)
    kernel.service.restore()
    assert kernel.write(handle, b"x") == (fmt.INVALID_HANDLE, 0)
    assert kernel.read(handle)[0] == fmt.INVALID_HANDLE
    assert kernel.close(folder) == fmt.INVALID_HANDLE
    assert kernel.host.stale.refused == 3
    assert kernel.exists("/log"), "mappings are kept"


def test_an_old_number_reaches_whoever_has_it_now(kernel: Kernel, tmp_path: Path) -> None:
    """As seen with the real driver: what a program appends to its log lands in another file."""
    old = kernel.open("/log", NEW_FILE)
    kernel.service.restore()
    new = kernel.open("/victim", NEW_FILE)
    assert new & 0xFFFF == old & 0xFFFF, "counted from 1 again"
    kernel.write(new, b"mine")
    assert kernel.host.stale.writes == 0, "the new owner's own writes are nothing to report"
    assert kernel.write(old, b"line 8", at=4) == (0, 6)
    assert (tmp_path / "victim").read_bytes() == b"mineline 8"
    assert kernel.close(old) == 0
    assert kernel.write(new, b"mine") == (fmt.INVALID_HANDLE, 0), "a stranger has closed it"
    stale = kernel.host.stale
    assert (stale.writes, stale.closes) == (1, 1)
    assert stale.hits == [("write", "/log", "/victim"), ("close", "/log", "/victim")]


def test_a_number_that_means_the_same_file_again_is_no_hit(kernel: Kernel) -> None:
    old = kernel.open("/log", NEW_FILE)
    kernel.service.restore()
    kernel.open("/log", OLD_FILE)
    assert kernel.write(old, b"x") == (0, 1)
    assert kernel.host.stale.writes == 0


def test_two_restores(kernel: Kernel) -> None:
    first = kernel.open("/one", NEW_FILE)
    kernel.service.restore()
    second = kernel.open("/two", NEW_FILE)
    kernel.service.restore()
    third = kernel.open("/three", NEW_FILE)
    assert len({first, second, third}) == 3
    kernel.write(first, b"1")
    kernel.write(second, b"2")
    assert kernel.host.stale.hits == [("write", "/one", "/three"), ("write", "/two", "/three")]


def test_the_table_is_as_large_as_virtualbox_has_it(kernel: Kernel) -> None:
    handles = [kernel.open(f"/{number}", NEW_FILE) for number in range(MOST - 1)]
    assert kernel.create("/more", NEW_FILE).status == fmt.NO_MEMORY
    kernel.close(handles[100])
    assert kernel.open("/more2", NEW_FILE) == handles[100]


def test_a_full_disk_refuses_what_grows(tmp_path: Path) -> None:
    kernel = Kernel.of(tmp_path, disk=HostDisk(budget=10))
    handle = kernel.open("/a", NEW_FILE)
    assert kernel.write(handle, b"12345678") == (0, 8)
    assert kernel.free() == 2
    assert kernel.write(handle, b"90abc", at=8) == (0, 2), "as much as there is room for"
    assert kernel.write(handle, b"more", at=10) == (fmt.DISK_FULL, 0)
    assert kernel.write(handle, b"in place") == (0, 8), "what a file has can be overwritten"
    assert (tmp_path / "a").read_bytes() == b"in place90"
    assert kernel.create("/d", NEW_DIRECTORY).status == fmt.DISK_FULL
    assert kernel.put("/b", b"x") == fmt.DISK_FULL
    assert kernel.host.disk.refused == 3


def test_removing_replacing_and_emptying_make_room(tmp_path: Path) -> None:
    kernel = Kernel.of(tmp_path, disk=HostDisk(budget=10))
    (tmp_path / "before").write_bytes(bytes(7))
    kernel.put("/a", bytes(10))
    assert kernel.put("/b", b"x") == fmt.DISK_FULL
    assert kernel.remove("/before") == 0
    assert kernel.free() == 7
    assert kernel.put("/b", bytes(7)) == 0
    assert kernel.rename("/b", "/a") == 0
    assert kernel.free() == 10
    handle = kernel.open("/a", EMPTIED_FILE)
    assert kernel.free() == 17
    assert kernel.resize(handle, 3) == 0
    assert kernel.free() == 14


def test_a_disk_that_fills_up_now(tmp_path: Path) -> None:
    kernel = Kernel.of(tmp_path)
    handle = kernel.open("/a", NEW_FILE)
    assert kernel.write(handle, b"1234") == (0, 4)
    kernel.host.disk.toggle()
    assert kernel.free() == 0
    assert kernel.write(handle, b"5", at=4) == (fmt.DISK_FULL, 0)
    assert kernel.write(handle, b"5", at=3) == (0, 1)
    kernel.host.disk.toggle()
    assert kernel.write(handle, b"5", at=4) == (0, 1)
    assert kernel.free() > 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=20), st.integers(0, 60))
def test_no_file_grows_beyond_the_budget(writes: list[tuple[int, int]], budget: int) -> None:
    disk, size = HostDisk(budget=budget), 0
    for offset, count in writes:
        offset = min(offset, size)
        try:
            allowed = disk.allowed(size, offset, count)
        except OSError:
            assert offset == size
            assert size == budget
            continue
        assert 0 < allowed <= count
        after = max(size, offset + allowed)
        disk.changed(size, after)
        size = after
    assert size <= budget
