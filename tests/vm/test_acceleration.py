"""What the probe finds, with the real QEMU of this computer."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from boinc2docker import console
from boinc2docker.errors import HostError, UsageError
from boinc2docker.vm import acceleration
from boinc2docker.vm.acceleration import KNOWN, TCG, VARIABLE, Acceleration, probe, qemu_program
from boinc2docker.vm.boot_probe import boot_sector

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None, reason="QEMU is not installed (Debian: apt-get install qemu-system-x86)"
)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    acceleration.choose.cache_clear()
    yield
    acceleration.choose.cache_clear()


def test_the_boot_sector_is_one() -> None:
    sector = boot_sector()
    assert len(sector) == 512
    assert sector.endswith(b"\x55\xaa")
    assert b"b2d\n" in sector


@needs_qemu
def test_emulation_runs_the_tiny_guest() -> None:
    assert probe(TCG, seconds=60) is None


@needs_qemu
def test_a_processor_that_cannot_is_found_out() -> None:
    """A 32-bit processor opens, starts, and never gets to long mode: like a hypervisor that only pretends."""
    assert probe(Acceleration("tcg", "tcg", "pentium3"), seconds=2) is not None


@needs_qemu
def test_what_qemu_does_not_know_is_told() -> None:
    reason = probe(Acceleration("x", "no-such-thing", "max"))
    assert reason is not None
    assert "no-such-thing" in reason


@needs_qemu
def test_hardware_is_chosen_only_if_it_ran_the_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    chosen = acceleration.choose()
    if chosen.hardware:
        assert probe(chosen) is None
    assert acceleration.choose() is chosen


@pytest.mark.parametrize(
    ("device", "reason"),
    [("absent", "{} is missing"), ("closed", "this user may not use {}"), ("open", "KVM cannot run a guest here")],
)
def test_a_computer_without_kvm_says_so_in_one_plain_line(
    device: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not in QEMU's words (kvm.c:3183: Assertion ...), which are for --debug."""
    path = tmp_path / device
    if device != "absent":
        path.touch()
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(acceleration, "_KVM", path)
    monkeypatch.setattr(os, "access", lambda *_: device == "open")
    monkeypatch.setattr(acceleration, "probe", lambda _: "../../target/i386/kvm/kvm.c:3183: kvm_put_msrs: Assertion")
    assert acceleration.choose() is TCG
    told = f"no hardware virtualisation ({reason.format(path)}): emulating, about ten times slower\n"
    assert capsys.readouterr().err == told
    acceleration.choose.cache_clear()
    console.configure(debug=True)
    acceleration.choose()
    console.configure()
    assert ("kvm.c:3183" in capsys.readouterr().err) is (device == "open")


def test_the_environment_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "whpx")
    assert acceleration.choose() is KNOWN["whpx"]
    acceleration.choose.cache_clear()
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(UsageError, match="fast"):
        acceleration.choose()


def test_a_machine_without_qemu_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError) as caught:
        qemu_program()
    assert "qemu-system-x86" in str(caught.value.hint)
