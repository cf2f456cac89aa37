"""The service on a Windows host: rules that a guest on Linux' side never meets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.vm.vmmdev import folder_format as fmt
from boinc2docker.vm.vmmdev.folder_format import CallError, Create, Result
from boinc2docker.vm.vmmdev.windows_folders import WindowsRules, windows_name
from tests.vm.vmmdev.kernel import LOOK_UP, NEW_DIRECTORY, NEW_FILE, OLD_FILE, Kernel


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel.of(tmp_path, rules=WindowsRules())


def test_an_open_file_is_not_renamed_replaced_or_removed(kernel: Kernel, tmp_path: Path) -> None:
    """Whoever has it open: another machine's device is another process."""
    other = Kernel.of(tmp_path, rules=WindowsRules())
    handle = kernel.open("/a", NEW_FILE)
    kernel.put("/new", b"new")
    for guest in (kernel, other):
        assert guest.rename("/a", "/b") == fmt.SHARING_VIOLATION
        assert guest.rename("/new", "/a") == fmt.ACCESS_DENIED
        assert guest.remove("/a") == fmt.SHARING_VIOLATION
        assert guest.read(guest.open("/a", Create.READ | Create.FAIL_IF_NEW)) == (0, b"")
    other = Kernel.of(tmp_path, rules=WindowsRules())
    assert kernel.write(handle, b"x") == (0, 1)


def test_a_closed_file_can_go(kernel: Kernel) -> None:
    kernel.put("/a", b"a")
    kernel.put("/b", b"b")
    assert kernel.rename("/a", "/b") == 0
    assert kernel.remove("/b") == 0


def test_a_directory_with_an_open_file_stays(kernel: Kernel) -> None:
    kernel.close(kernel.open("/d", NEW_DIRECTORY))
    kernel.close(kernel.open("/d/e", NEW_DIRECTORY))
    handle = kernel.open("/d/e/a", NEW_FILE)
    assert kernel.rename("/d", "/f", 0) == fmt.ACCESS_DENIED
    kernel.close(handle)
    assert kernel.rename("/d", "/f", 0) == 0


def test_a_scanner_has_open_what_was_just_written(tmp_path: Path) -> None:
    kernel = Kernel.of(tmp_path, rules=WindowsRules(scanner=0.5))
    kernel.put("/a", b"a")
    began = time.monotonic()
    assert kernel.rename("/a", "/b") == fmt.SHARING_VIOLATION
    assert kernel.remove("/a") == fmt.SHARING_VIOLATION
    kernel.close(kernel.open("/a", Create.READ | Create.FAIL_IF_NEW))
    while kernel.rename("/a", "/b"):
        assert time.monotonic() - began < 30
        time.sleep(0.02)
    assert time.monotonic() - began >= 0.4
    reader = kernel.open("/b", Create.READ | Create.FAIL_IF_NEW)
    kernel.close(reader)
    assert kernel.remove("/b") == 0, "what was only read is not scanned"


def test_case_does_not_count(kernel: Kernel, tmp_path: Path) -> None:
    kernel.close(kernel.open("/Dir", NEW_DIRECTORY))
    kernel.put("/dIR/Fïle", b"1")
    assert (tmp_path / "Dir" / "Fïle").read_bytes() == b"1"
    assert kernel.create("/DIR/FÏLE", LOOK_UP).result == Result.EXISTS
    assert kernel.create("/DIR/FÏLE", NEW_FILE).result == Result.EXISTS
    assert kernel.rename("/dir/fïle", "/Dir/other") == 0
    assert sorted(one.name for one in (tmp_path / "Dir").iterdir()) == ["other"]


@pytest.mark.parametrize(
    "name", ["a:b", "a|b", "a*", "?", '"', "<", ">", "a\\b", "a\x01", "nul", "CON.txt", "Lpt1", " "]
)
def test_names_that_windows_does_not_have(kernel: Kernel, name: str) -> None:
    assert kernel.create(f"/{name}", NEW_FILE).handle == fmt.NO_HANDLE
    assert kernel.create(f"/{name}", NEW_FILE).status == fmt.INVALID_NAME


def test_a_final_dot_is_dropped(kernel: Kernel, tmp_path: Path) -> None:
    kernel.put("/name. .", b"")
    assert [one.name for one in tmp_path.iterdir()] == ["name"]


def test_modes_are_all_or_read_only(kernel: Kernel, tmp_path: Path) -> None:
    handle = kernel.open("/a", NEW_FILE)
    assert kernel.create("/a", LOOK_UP).mode & 0o777 == 0o777
    assert kernel.set_mode(handle, 0o444) == 0
    kernel.close(handle)
    assert kernel.create("/a", LOOK_UP).mode & 0o777 == 0o555
    assert kernel.create("/a", OLD_FILE).status == fmt.ACCESS_DENIED
    assert kernel.remove("/a") == fmt.ACCESS_DENIED


@given(st.text(max_size=10).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_name_is_refused_or_one_that_windows_keeps(name: bytes) -> None:
    try:
        kept = windows_name(name)
    except CallError:
        return
    assert kept
    assert kept == windows_name(kept)
    assert name.startswith(kept)
    assert not kept.endswith((b".", b" "))
