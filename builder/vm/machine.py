"""The machine, as a QEMU command line: what vboxwrapper builds in VirtualBox, device by device. Pure.

Source: vboxwrapper's machine (BOINC, samples/vboxwrapper/vbox_vboxmanage.cpp): PIIX board, BIOS, AHCI controller with
the ISO at port 0 and the data disk at port 1, NAT with a virtio card, VGA, no sound, no USB, no serial port. The serial
port here is the one addition: it is where a kernel says why it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.vm.acceleration import Acceleration

EVENT_PORT = 0x504
"""VirtualBox' guest-log port; QEMU's debug console listens at any."""


@dataclass(frozen=True)
class Machine:
    """What a machine consists of. ``shared`` and ``scratch`` are directories of this host, the last four are files."""

    iso: Path
    acceleration: Acceleration
    memory_mb: int
    cpus: int
    shared: Path
    scratch: Path | None
    disk: Path | None
    network: bool
    events: Path
    console: Path
    control: Path


def command_line(machine: Machine, program: str) -> list[str]:
    """QEMU's argv for ``machine``."""
    return [
        program,
        *("-name", "boinc2docker", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "std"),
        *("-machine", "pc", "-accel", machine.acceleration.argument, "-cpu", machine.acceleration.cpu),
        *("-m", str(machine.memory_mb), "-smp", str(machine.cpus), "-rtc", "base=utc"),
        *("-qmp", f"unix:{_value(machine.control)},server=on,wait=off"),
        *("-chardev", f"file,id=console,path={_value(machine.console)}", "-serial", "chardev:console"),
        *("-chardev", f"file,id=events,path={_value(machine.events)}"),
        *("-device", f"isa-debugcon,iobase={EVENT_PORT:#x},chardev=events"),
        *("-device", "ahci,id=sata"),
        *("-drive", f"if=none,id=iso,media=cdrom,readonly=on,format=raw,file={_value(machine.iso)}"),
        *("-device", "ide-cd,bus=sata.0,drive=iso,bootindex=0"),
        *_disk(machine.disk),
        *_network(machine.network),
        *_folder("shared", machine.shared),
        *(_folder("scratch", machine.scratch) if machine.scratch else ()),
    ]


def _disk(path: Path | None) -> list[str]:
    if path is None:
        return []
    drive = f"if=none,id=data,format=vdi,cache=unsafe,file={_value(path)}"
    return ["-drive", drive, "-device", "ide-hd,bus=sata.1,drive=data"]


def _network(connected: bool) -> list[str]:
    if not connected:
        return []
    # No boot ROM: the machine boots from its CD, and not every QEMU package has the file.
    return ["-netdev", "user,id=nat", "-device", "virtio-net-pci,netdev=nat,romfile="]


def _folder(tag: str, path: Path) -> list[str]:
    return ["-virtfs", f"local,path={_value(path)},mount_tag={tag},security_model=none,multidevs=remap"]


def _value(path: Path) -> str:
    """A path inside an option's value, where a comma is written twice."""
    return str(path).replace(",", ",,")
