"""The machine's command line, and that the QEMU of this computer takes it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker.vm.acceleration import KNOWN, TCG
from boinc2docker.vm.machine import Machine, command_line

MACHINE = Machine(
    iso=Path("/b/the.iso"),
    acceleration=TCG,
    memory_mb=1024,
    cpus=2,
    shared=Path("/r/shared"),
    scratch=Path("/r/a,b"),
    disk=Path("/r/disk.vdi"),
    network=True,
    events=Path("/r/events.txt"),
    console=Path("/r/console.txt"),
    control=Path("/t/qmp"),
)
GOLDEN = """\
qemu-system-x86_64
-name boinc2docker -nodefaults -no-user-config -no-reboot -display none -vga std
-machine pc -accel tcg,thread=single -cpu max,la57=off
-m 1024 -smp 2 -rtc base=utc
-qmp unix:/t/qmp,server=on,wait=off
-chardev file,id=console,path=/r/console.txt -serial chardev:console
-chardev file,id=events,path=/r/events.txt
-device isa-debugcon,iobase=0x504,chardev=events
-device ahci,id=sata
-drive if=none,id=iso,media=cdrom,readonly=on,format=raw,file=/b/the.iso
-device ide-cd,bus=sata.0,drive=iso,bootindex=0
-drive if=none,id=data,format=vdi,cache=unsafe,file=/r/disk.vdi -device ide-hd,bus=sata.1,drive=data
-netdev user,id=nat -device virtio-net-pci,netdev=nat,romfile=
-virtfs local,path=/r/shared,mount_tag=shared,security_model=none,multidevs=remap
-virtfs local,path=/r/a,,b,mount_tag=scratch,security_model=none,multidevs=remap
"""


def test_command_line_is_the_golden_one() -> None:
    assert command_line(MACHINE, "qemu-system-x86_64") == GOLDEN.split()


def test_virtualbox_guest_device_takes_the_shares_place() -> None:
    line = command_line(replace(MACHINE, guest_device=Path("/t/a,b")), "qemu-system-x86_64")
    assert "-virtfs" not in line
    assert line[line.index("-machine") + 1] == "pc,memory-backend=ram"
    assert line[line.index("-object") + 1] == "memory-backend-memfd,id=ram,size=1024M,share=on"
    assert line[-1] == '{"driver": "vfio-user-pci", "socket": {"type": "unix", "path": "/t/a,b"}}'
    assert MACHINE.folders == {"shared": Path("/r/shared"), "scratch": Path("/r/a,b")}


def test_the_port_for_live_output_is_there_only_if_it_is_asked_for() -> None:
    """bin/stream of the guest asks the port whether somebody listens: 0xb2 is the answer."""
    line = command_line(replace(MACHINE, streams=Path("/r/a,b")), "qemu-system-x86_64")
    assert "file,id=streams,path=/r/a,,b" in line
    assert "isa-debugcon,iobase=0x505,readback=0xb2,chardev=streams" in line
    assert not [word for word in command_line(MACHINE, "qemu-system-x86_64") if "0x505" in word]


def test_parts_can_be_left_out() -> None:
    bare = replace(MACHINE, scratch=None, disk=None, network=False, acceleration=KNOWN["kvm"])
    line = " ".join(command_line(bare, "qemu-system-x86_64"))
    assert "-accel kvm -cpu host" in line
    for absent in ("scratch", "vdi", "virtio-net", "netdev"):
        assert absent not in line


def test_a_path_with_commas_is_a_path(tmp_path: Path) -> None:
    """The real QEMU opens files whose names look like options."""
    from boinc2docker.vm import Settings, run_job
    from boinc2docker.vm.process import Running
    from tests.vm.tiny_guest import tiny_iso

    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed (Debian: apt-get install qemu-system-x86)")
    odd = tmp_path / "odd,id=x, name"
    (odd / "shared").mkdir(parents=True)
    (odd / "shared" / "boinc_app").touch()
    iso = tiny_iso(odd / "tiny.iso")

    def started(machine: Running) -> None:
        assert machine.state() == "running"
        assert len(machine.ask("qom-list", path="/machine/peripheral-anon")) >= 6
        (odd / "shared" / "completion_trigger_file").write_text("7\n0\n")

    settings = Settings(acceleration=TCG, memory_mb=256, disk_bytes=1 << 30)
    outcome = run_job(
        odd / "shared", odd / "scr,atch", iso, settings, results=odd / "out", log=odd / "log", started=started
    )
    assert outcome.exit_code == 7
    assert outcome.results is None
    assert not list((odd / "log").glob("*.vdi"))
