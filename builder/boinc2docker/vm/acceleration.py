"""How this computer can run a guest. Only starting one tells: a device file promises nothing."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import console, leftovers
from boinc2docker.errors import HostError, UsageError
from boinc2docker.vm.boot_probe import EXIT_VALUE, boot_sector

VARIABLE = "BOINC2DOCKER_ACCEL"
"""Environment variable that names the acceleration to use, without a probe."""
_PROBE_SECONDS = 5  # a probe takes a quarter of a second
_KVM = Path("/dev/kvm")


@dataclass(frozen=True)
class Acceleration:
    """One of QEMU's ways to run x86 code: the values of ``-accel`` and ``-cpu``."""

    name: str
    argument: str
    cpu: str

    @property
    def hardware(self) -> bool:
        return self.name != "tcg"


# One emulation thread: with several, QEMU 7.2 causes a kernel oops (int3 in text poking). No five-level page tables:
# `max` adds them, and emulation pays for them at every TLB miss.
TCG = Acceleration("tcg", "tcg,thread=single", "max,la57=off")
KNOWN = {
    "kvm": Acceleration("kvm", "kvm", "host"),
    "hvf": Acceleration("hvf", "hvf", "host"),
    "whpx": Acceleration("whpx", "whpx,kernel-irqchip=off", "max"),
    "tcg": TCG,
}
_OF_SYSTEM = {"Linux": "kvm", "Darwin": "hvf", "Windows": "whpx"}


def qemu_program(name: str = "qemu-system-x86_64") -> str:
    """Returns the path of one of QEMU's programs. Raises HostError that names the packages to install."""
    found = shutil.which(name)
    if found is None:
        raise HostError(
            "qemu-missing",
            f"{name} is not installed",
            hint="Debian, Ubuntu: apt-get install qemu-system-x86 qemu-utils; "
            "Fedora: dnf install qemu-system-x86 qemu-img; macOS: brew install qemu",
        )
    return found


@functools.cache
def choose() -> Acceleration:
    """Returns the best acceleration that works here; looks once a process. Raises UsageError for a bad override."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted:
        if wanted not in KNOWN:
            raise UsageError("bad-acceleration", f"{VARIABLE}: expected {', '.join(KNOWN)}, found {wanted[:40]!r}")
        return KNOWN[wanted]
    hardware = KNOWN.get(_OF_SYSTEM.get(platform.system(), ""))
    reason = "none is known for this system" if hardware is None else _why_not(hardware)
    if hardware is not None and reason is None:
        return hardware
    console.info(f"no hardware virtualisation ({reason}): emulating, about ten times slower")
    return TCG


def _why_not(hardware: Acceleration) -> str | None:
    """Why this acceleration does not work here, for people; None if it does. QEMU's own words are for ``--debug``."""
    if hardware.name == "kvm":
        if not _KVM.exists():
            return f"{_KVM} is missing"
        if not os.access(_KVM, os.R_OK | os.W_OK):
            return f"this user may not use {_KVM}"
    reason = probe(hardware)
    if reason is None:
        return None
    if console.debugging():
        console.info(f"{hardware.name.upper()}: {reason}")
    return f"{hardware.name.upper()} cannot run a guest here"


def probe(acceleration: Acceleration, *, seconds: float = _PROBE_SECONDS) -> str | None:
    """Boots a tiny guest. None if it ran to its end within ``seconds``, else in a few words why not."""
    with leftovers.scratch() as work:
        (work / "disk").write_bytes(boot_sector())
        argv = [
            *(qemu_program(), "-nodefaults", "-machine", "pc", "-m", "64", "-display", "none", "-no-reboot"),
            *("-accel", acceleration.argument, "-cpu", acceleration.cpu),
            *("-drive", "if=none,id=disk,format=raw,file=disk", "-device", "ide-hd,drive=disk"),
            *("-device", "isa-debug-exit,iobase=0x501,iosize=1"),
            *("-chardev", "file,id=events,path=events", "-device", "isa-debugcon,iobase=0x504,chardev=events"),
        ]
        with (work / "errors").open("wb") as errors:
            process = subprocess.Popen(argv, cwd=work, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        try:
            return _wait(process, work, time.monotonic() + seconds)
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], work: Path, deadline: float) -> str | None:
    while process.poll() is None:
        # If the kernel gives up on the guest, QEMU waits for ever.
        if b"internal error" in (work / "errors").read_bytes():
            return "it cannot execute an ordinary guest"
        if time.monotonic() > deadline:
            return "a tiny guest did not get to its end"
        time.sleep(0.02)
    if process.returncode == 2 * EXIT_VALUE + 1 and (work / "events").read_bytes() == b"b2d\n":
        return None
    lines = (work / "errors").read_text(errors="replace").strip().splitlines()
    return lines[-1].partition(": ")[2][:200] or "QEMU refused" if lines else "QEMU refused"
