"""The QEMU command line of a machine that is, device by device, what vboxwrapper builds in VirtualBox. Pure.

Source: vboxwrapper's machine (BOINC, samples/vboxwrapper/vbox_vboxmanage.cpp): PIIX board, BIOS, AHCI controller with
the ISO at port 0 and the data disk at port 1, NAT with a virtio card, VGA, no sound, no USB, no serial port. Two things
are added here: the serial port, where a kernel says why it stopped, and, if it is asked for, the port where the guest
shows a job's output as it comes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from boinc2docker.vm.acceleration import Acceleration

EVENT_PORT = 0x504
"""VirtualBox' guest-log port; QEMU's debug console listens at any."""
STREAM_PORT = 0x505
"""Where the guest's bin/stream writes a job's output, if reading the port gives STREAM_READBACK."""
STREAM_READBACK = 0xB2


class Like(StrEnum):
    """Which hypervisor the machine resembles in how the guest reaches its shared folders."""

    QEMU = "qemu"
    """9p, which QEMU provides."""
    VIRTUALBOX = "virtualbox"
    """vboxsf over VirtualBox' guest device (``boinc2docker.vm.vmmdev``), as on a volunteer's machine."""


@dataclass(frozen=True)
class Machine:
    """What a machine consists of. ``shared`` and ``scratch`` are directories of this host.

    ``streams`` takes a job's output as it comes (``boinc2docker.vm.streams``); None: the machine has no port for it.
    ``guest_device`` is the socket of VirtualBox' guest device; without one the folders are shared by 9p.
    """

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
    streams: Path | None = None
    guest_device: Path | None = None

    @property
    def folders(self) -> dict[str, Path]:
        """The shared folders by name."""
        return {"shared": self.shared, **({"scratch": self.scratch} if self.scratch else {})}


def command_line(machine: Machine, program: str) -> list[str]:
    """QEMU's argv for ``machine``."""
    return [
        program,
        *("-name", "boinc2docker", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "std"),
        *(
            "-machine",
            "pc,memory-backend=ram" if machine.guest_device else "pc",
            "-accel",
            machine.acceleration.argument,
            "-cpu",
            machine.acceleration.cpu,
        ),
        *("-m", str(machine.memory_mb), "-smp", str(machine.cpus), "-rtc", "base=utc"),
        *("-qmp", f"unix:{_value(machine.control)},server=on,wait=off"),
        *("-chardev", f"file,id=console,path={_value(machine.console)}", "-serial", "chardev:console"),
        *("-chardev", f"file,id=events,path={_value(machine.events)}"),
        *("-device", f"isa-debugcon,iobase={EVENT_PORT:#x},chardev=events"),
        *_streams(machine.streams),
        *("-device", "ahci,id=sata"),
        *("-drive", f"if=none,id=iso,media=cdrom,readonly=on,format=raw,file={_value(machine.iso)}"),
        *("-device", "ide-cd,bus=sata.0,drive=iso,bootindex=0"),
        *_disk(machine.disk),
        *_network(machine.network),
        *_folders(machine),
    ]


def _streams(path: Path | None) -> list[str]:
    if path is None:
        return []
    device = f"isa-debugcon,iobase={STREAM_PORT:#x},readback={STREAM_READBACK:#x},chardev=streams"
    return ["-chardev", f"file,id=streams,path={_value(path)}", "-device", device]


def _disk(path: Path | None) -> list[str]:
    if path is None:
        return []
    drive = f"if=none,id=data,format=vdi,cache=unsafe,file={_value(path)}"
    return ["-drive", drive, "-device", "ide-hd,bus=sata.1,drive=data"]


def _network(connected: bool) -> list[str]:
    if not connected:
        return []
    # No boot ROM: the machine boots from its CD, and some QEMU packages lack the file.
    return ["-netdev", "user,id=nat", "-device", "virtio-net-pci,netdev=nat,romfile="]


def _folders(machine: Machine) -> list[str]:
    if machine.guest_device:
        # The device is another process. It reaches the guest's memory because that is a file that both have open.
        socket = {"type": "unix", "path": str(machine.guest_device)}
        return [
            *("-object", f"memory-backend-memfd,id=ram,size={machine.memory_mb}M,share=on"),
            *("-device", json.dumps({"driver": "vfio-user-pci", "socket": socket})),
        ]
    sharing = "security_model=none,multidevs=remap"
    shares = [f"local,path={_value(path)},mount_tag={tag},{sharing}" for tag, path in machine.folders.items()]
    return [word for share in shares for word in ("-virtfs", share)]


def _value(path: Path) -> str:
    """Escapes a path for an option's value, where a comma is doubled."""
    return str(path).replace(",", ",,")
