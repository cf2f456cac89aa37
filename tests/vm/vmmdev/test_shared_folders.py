"""The service on a POSIX host, called as Linux' vboxsf does."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boinc2docker.vm.vmmdev import folder_format as fmt
from boinc2docker.vm.vmmdev.folder_format import Function, Result
from boinc2docker.vm.vmmdev.hgcm import INVALID_PARAMETER, Parameter
from boinc2docker.vm.vmmdev.host_rules import HostRules
from boinc2docker.vm.vmmdev.windows_folders import WindowsRules
from tests.vm.vmmdev.kernel import (
    ANY_FILE,
    LOOK_UP,
    NEW_DIRECTORY,
    NEW_FILE,
    OLD_DIRECTORY,
    OLD_FILE,
    Kernel,
    shfl_string,
)


@pytest.fixture(params=[HostRules, WindowsRules])
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Kernel:
    """A guest on a POSIX host, and one on a Windows host."""
    return Kernel.of(tmp_path, rules=request.param())


@pytest.fixture
def posix(tmp_path: Path) -> Kernel:
    return Kernel.of(tmp_path)


def test_a_file_is_made_written_read_and_listed(kernel: Kernel, tmp_path: Path) -> None:
    assert kernel.create("/a", LOOK_UP).result == Result.FILE_NOT_FOUND
    created = kernel.create("/a", NEW_FILE)
    assert (created.status, created.result) == (0, Result.CREATED)
    assert kernel.write(created.handle, b"hello") == (0, 5)
    assert kernel.write(created.handle, b"J") == (0, 1)
    assert kernel.read(created.handle, 99) == (0, b"Jello")
    assert kernel.read(created.handle, 99, at=3) == (0, b"lo")
    assert kernel.read(created.handle, 99, at=5) == (0, b"")
    assert kernel.close(created.handle) == 0
    assert kernel.close(created.handle) == fmt.INVALID_HANDLE
    assert (tmp_path / "a").read_bytes() == b"Jello"
    assert kernel.create("/a", LOOK_UP).size == 5
    assert kernel.list() == [".", "..", "a"]


def test_a_lost_race_for_a_new_file_is_told_by_the_result(kernel: Kernel) -> None:
    kernel.open("/a", NEW_FILE)
    again = kernel.create("/a", NEW_FILE)
    assert (again.status, again.result, again.handle) == (0, Result.EXISTS, fmt.NO_HANDLE)


def test_mkdir_is_a_lock(kernel: Kernel) -> None:
    """vbsfOpenDir gives its error back."""
    other = Kernel(kernel.host)
    assert kernel.create("/lock", NEW_DIRECTORY).result == Result.CREATED
    assert other.create("/lock", NEW_DIRECTORY).status == fmt.ALREADY_EXISTS
    kernel.open("/file", NEW_FILE)
    assert other.create("/file", NEW_DIRECTORY).status == fmt.ALREADY_EXISTS


def test_a_missing_parent(kernel: Kernel) -> None:
    assert kernel.create("/no/a", LOOK_UP).result == Result.FILE_NOT_FOUND
    kernel.open("/file", NEW_FILE)
    assert kernel.create("/file/a", LOOK_UP).result == Result.PATH_NOT_FOUND


def test_emptying_and_resizing(kernel: Kernel, tmp_path: Path) -> None:
    assert kernel.put("/a", b"long content") == 0
    assert kernel.put("/a", b"new") == 0
    assert (tmp_path / "a").read_bytes() == b"new"
    handle = kernel.open("/a", OLD_FILE)
    assert kernel.resize(handle, 5) == 0
    assert (tmp_path / "a").read_bytes() == b"new\0\0"
    assert kernel.resize(handle, 1) == 0
    assert (tmp_path / "a").read_bytes() == b"n"


def test_modes_and_times(posix: Kernel, tmp_path: Path) -> None:
    handle = posix.open("/a", NEW_FILE)
    assert posix.set_mode(handle, 0o4750, modified=1_580_601_600 * 10**9) == 0
    facts = (tmp_path / "a").stat()
    assert stat.S_IMODE(facts.st_mode) == 0o750, "no set-user-id bit reaches the host"
    assert facts.st_mtime == 1_580_601_600
    assert posix.create("/a", LOOK_UP).modified == 1_580_601_600 * 10**9
    assert posix.set_mode(handle, stat.S_IFREG) == 0
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o400, "the owner can still read it"


def test_mkdir_ignores_the_mode(posix: Kernel, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        posix.create("/d", NEW_DIRECTORY, mode=0o700)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o755


def test_rename_as_posix_hosts_do(posix: Kernel, tmp_path: Path) -> None:
    posix.put("/a", b"a")
    posix.put("/b", b"b")
    assert posix.rename("/a", "/b", fmt.RENAME_FILE) == fmt.ALREADY_EXISTS
    assert posix.rename("/a", "/b") == 0
    assert (tmp_path / "b").read_bytes() == b"a"
    for name in ("/d", "/e"):
        posix.close(posix.open(name, NEW_DIRECTORY))
    assert posix.rename("/d", "/e", 0) == fmt.ALREADY_EXISTS, "never over a directory"
    assert posix.rename("/d", "/f", 0) == 0
    assert posix.rename("/b", "/f") == fmt.ALREADY_EXISTS
    assert posix.rename("/f", "/g") == fmt.IS_A_DIRECTORY
    assert posix.rename("/b", "/c", 0) == fmt.NOT_A_DIRECTORY
    assert posix.rename("/missing", "/c") == fmt.FILE_NOT_FOUND


def test_an_open_file_can_be_renamed_and_removed(posix: Kernel) -> None:
    handle = posix.open("/a", NEW_FILE)
    assert posix.rename("/a", "/b") == 0
    assert posix.remove("/b") == 0
    assert posix.write(handle, b"still") == (0, 5)


def test_removing(kernel: Kernel) -> None:
    kernel.close(kernel.open("/d", NEW_DIRECTORY))
    kernel.put("/d/a", b"")
    assert kernel.remove("/d", 2) == fmt.DIR_NOT_EMPTY
    assert kernel.remove("/d/a", 2) == fmt.NOT_A_DIRECTORY
    assert kernel.remove("/d/a", fmt.REMOVE_LINK) == fmt.NOT_SYMLINK
    assert kernel.remove("/d/a") == 0
    assert kernel.remove("/d/a") == fmt.FILE_NOT_FOUND
    assert kernel.remove("/d", 2) == 0


@pytest.mark.parametrize("room", [200, 1000, 16384])
def test_each_name_is_listed_once_whatever_the_buffer(kernel: Kernel, room: int, tmp_path: Path) -> None:
    names = {f"file {number} ü" for number in range(300)}
    for name in names:
        (tmp_path / name).touch()
    found = kernel.list(room=room)
    assert len(found) == 302
    assert set(found) == names | {".", ".."}


def test_what_lies_above_the_folder_is_not_told(posix: Kernel, tmp_path: Path) -> None:
    """``..`` of the folder is in each listing, with the folder's own facts."""
    handle, buffer = posix.open("/", OLD_DIRECTORY), Parameter(size=16384)
    numbers = Parameter(value=0), Parameter(value=handle), Parameter(), Parameter(value=16384)
    assert posix.call(Function.LIST, *numbers, Parameter(), buffer, Parameter(), Parameter()) == 0
    above = tmp_path.parent.stat().st_ino.to_bytes(8, "little")
    assert buffer.out is not None
    assert above not in buffer.out
    assert tmp_path.stat().st_ino.to_bytes(8, "little") in buffer.out


def test_links_only_where_they_are_allowed(tmp_path: Path) -> None:
    assert Kernel.of(tmp_path).symlink("/l", "target") == fmt.WRITE_PROTECT
    allowed = Kernel.of(tmp_path, symlinks=True)
    assert allowed.symlink("/l", "target") == 0
    assert allowed.readlink("/l") == (0, b"target")
    assert stat.S_ISLNK(allowed.create("/l", LOOK_UP).mode)
    assert allowed.remove("/l", fmt.REMOVE_LINK) == 0


def test_pipes_and_devices_are_not_opened(posix: Kernel, tmp_path: Path) -> None:
    """Opening a pipe would wait for its other end, for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert posix.create("/pipe", OLD_FILE).status == fmt.ACCESS_DENIED
    assert posix.create("/pipe", ANY_FILE).status == fmt.ACCESS_DENIED


def test_malformed_calls_are_refused(kernel: Kernel) -> None:
    assert kernel.call(99) == fmt.NOT_IMPLEMENTED
    ignored = {Function.LOCK, Function.UNMAP, Function.SET_UTF8, Function.SET_SYMLINKS}
    for function in set(Function) - ignored - {Function.SYMLINK}:
        assert kernel.call(function) == INVALID_PARAMETER
    short = Parameter(data=b"\x09\0\x08\0ab", size=6)
    assert kernel.call(Function.REMOVE, Parameter(value=0), short, Parameter(value=1)) == INVALID_PARAMETER
    other_root = Parameter(value=7)
    assert kernel.call(Function.REMOVE, other_root, shfl_string("/a"), Parameter(value=1)) == INVALID_PARAMETER
    handle = kernel.open("/a", NEW_FILE)
    assert kernel.write(handle, b"x", at=1 << 63)[0] == INVALID_PARAMETER


def test_a_slow_host_takes_its_time(tmp_path: Path) -> None:
    kernel = Kernel.of(tmp_path)
    kernel.host.delay = 0.05
    began = time.monotonic()
    kernel.exists("/a")
    kernel.exists("/b")
    assert time.monotonic() - began >= 0.1


# Nothing outside the folder is ever reached.

_PART = st.one_of(
    st.sampled_from(["..", ".", "", "inside", "out", "out-file", "secret", "OUT", "\0", "...", "..\\..", " ..", ".. "]),
    st.text(max_size=6),
)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(parts=st.lists(_PART, max_size=6), windows=st.booleans())
def test_no_path_leads_out(tmp_path_factory: pytest.TempPathFactory, parts: list[str], windows: bool) -> None:
    """Whatever the guest calls: links that lie in the folder lead out of it on purpose."""
    above = tmp_path_factory.mktemp("above")
    (above / "elsewhere").mkdir()
    (above / "elsewhere" / "secret").write_text("secret")
    folder = above / "folder"
    (folder / "inside").mkdir(parents=True)
    (folder / "out").symlink_to("../elsewhere")
    (folder / "out-file").symlink_to(above / "elsewhere" / "secret")
    (folder / "inside" / "out").symlink_to("/")
    kernel = Kernel.of(folder, rules=WindowsRules() if windows else HostRules())
    path = ("/" + "/".join(parts)).encode("utf-8", "surrogatepass")
    for flags in (LOOK_UP, OLD_FILE, ANY_FILE, NEW_FILE, NEW_DIRECTORY, OLD_DIRECTORY):
        created = kernel.create(path, flags)
        if created.handle == fmt.NO_HANDLE:
            continue
        _, data = kernel.read(created.handle)
        assert data != b"secret"
        kernel.write(created.handle, b"written by the guest")
        kernel.set_mode(created.handle, 0o777)
        kernel.close(created.handle)
    if kernel.create(path, OLD_DIRECTORY).handle != fmt.NO_HANDLE:
        assert not {"secret", "elsewhere", "folder", "etc"} & set(kernel.list(path))
    kernel.rename(path, b"/taken")
    kernel.rename(b"/inside", path, 0)
    kernel.rename(path + b"/secret", b"/taken")
    kernel.remove(path)
    kernel.remove(path + b"/secret")
    kernel.remove(path, 2)
    kernel.remove(path, fmt.REMOVE_LINK)
    assert sorted(one.name for one in above.iterdir()) == ["elsewhere", "folder"]
    assert [one.name for one in (above / "elsewhere").iterdir()] == ["secret"]
    assert (above / "elsewhere" / "secret").read_text() == "secret"
    assert not any(
        one.is_file() and not one.is_symlink() and one.read_bytes() == b"secret" for one in folder.rglob("*")
    )


def test_a_directory_that_becomes_a_link_leads_nowhere(posix: Kernel, tmp_path: Path) -> None:
    """Somebody on the host swaps it between two calls."""
    outside = tmp_path.with_name(tmp_path.name + "-outside")
    outside.mkdir()
    posix.close(posix.open("/d", NEW_DIRECTORY))
    posix.put("/d/a", b"")
    (tmp_path / "d").rename(tmp_path / "old")
    (tmp_path / "d").symlink_to(outside)
    assert posix.create("/d/b", NEW_FILE).handle == fmt.NO_HANDLE
    assert posix.rename("/old/a", "/d/a") == fmt.PATH_NOT_FOUND
    assert not list(outside.iterdir())


def test_the_folder_itself_may_be_a_link_and_may_be_replaced(tmp_path: Path) -> None:
    """Which directory is shared is the host's choice, looked up for each call as VirtualBox does."""
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to("one")
    kernel = Kernel.of(tmp_path / "link")
    kernel.put("/a", b"1")
    (tmp_path / "link").unlink()
    (tmp_path / "two").mkdir()
    (tmp_path / "link").symlink_to("two")
    kernel.put("/a", b"2")
    assert (tmp_path / "one" / "a").read_bytes() == b"1"
    assert (tmp_path / "two" / "a").read_bytes() == b"2"
