"""How the host's directories are mounted, and that their modes stay the host's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.blob_server import BlobServer
from tests.guest.machine import Machine
from tests.guest.store_job import image, layer, run, stored


@pytest.fixture
def virtualbox(make: Callable[[str], Machine]) -> Machine:
    """A machine with VirtualBox' device, in which only vboxsf can be mounted."""
    machine = make("busybox")
    device = machine.root / "sys" / "bus" / "pci" / "devices" / "0000:00:04.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x80ee\n")
    (device / "device").write_text("0xcafe\n")
    (machine.stub / "mount-type").write_text("vboxsf\nbind\n")
    machine.job("exit 0\n")
    return machine


def asked(machine: Machine, share: str) -> list[str]:
    """The mounts of this share by vboxsf that were tried: their options."""
    lines = (machine.stub / "mounts").read_text().splitlines()
    return [line.split()[3] for line in lines if line.startswith("-t vboxsf ") and line.split()[4] == share]


OPTIONS = "nls=utf8,dmode=0700,fmode=0700"


def test_vboxsf_comes_first(virtualbox: Machine) -> None:
    assert virtualbox.run_job() == (0, "")
    assert (virtualbox.stub / "mounts").read_text().startswith(f"-t vboxsf -o {OPTIONS} shared {virtualbox.share}\n")
    assert "shared by vboxsf" in virtualbox.log()


def test_a_share_that_the_host_has_not_is_asked_for_once(virtualbox: Machine) -> None:
    """Each refusal is a line in the task's stderr."""
    (virtualbox.stub / "no-scratch").touch()
    (virtualbox.stub / "refusal").write_text("mount: /scratch: No such file or directory\n")
    assert virtualbox.run_job() == (0, "")
    assert asked(virtualbox, "scratch") == [OPTIONS]


def test_options_that_the_driver_does_not_know_are_put_in_other_words(virtualbox: Machine) -> None:
    (virtualbox.stub / "no-scratch").touch()
    (virtualbox.stub / "refusal").write_text("mount: mounting scratch on /scratch failed: Invalid argument\n")
    assert virtualbox.run_job() == (0, "")
    assert asked(virtualbox, "scratch") == [OPTIONS, OPTIONS.replace("nls=", "iocharset=")]


def test_without_virtualbox_vboxsf_is_not_tried(virtualbox: Machine) -> None:
    device = virtualbox.root / "sys" / "bus" / "pci" / "devices" / "0000:00:04.0"
    (device / "vendor").write_text("0x8086\n")
    (virtualbox.stub / "mount-type").write_text("9p\nbind\n")
    assert virtualbox.run_job() == (0, "")
    assert asked(virtualbox, "shared") == asked(virtualbox, "scratch") == []


def modes(*folders: Path) -> dict[Path, int]:
    return {path: path.stat().st_mode & 0o7777 for folder in folders for path in [folder, *folder.rglob("*")]}


def test_modes_of_the_hosts_directories_stay_as_they_were(
    machines: Callable[..., Machine], scratch: Path, server: BlobServer
) -> None:
    """On VirtualBox a mode means nothing to the machine, but the host would really change it."""
    machine = machines("busybox")
    root = scratch / "boinc2docker"
    for name in ("v1/layers/sha256", "v1/partial", "v1/locks", "v1/used"):
        (root / name).mkdir(parents=True)
    (machine.share / "image").mkdir()
    (machine.share / "input").write_text("x")
    for path in modes(machine.share, scratch):
        path.chmod(0o750 if path.is_dir() else 0o640)
    before = modes(machine.share, scratch)
    wanted = image(server, [layer("x", 9000)])
    assert run(machine, wanted) == 0, machine.output()
    assert stored(scratch)
    machine.boot()
    machine.wait_for(machine.completion.exists)
    machine.cut_power()
    after = modes(machine.share, scratch)
    assert {path: after[path] for path in before} == before
