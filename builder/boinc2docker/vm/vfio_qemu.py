"""Finds a QEMU with ``vfio-user-pci``, a device in another process (10.1 and newer, if it was built in)."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from boinc2docker.errors import HostError
from boinc2docker.fetch import Cache

VARIABLE = "B2D_QEMU_VFIO_USER"
"""Environment variable that names the program."""
PROGRAM = "qemu-system-x86_64"
DEVICE = "vfio-user-pci"
HELP = ("-device", f"{DEVICE},help")
"""Arguments that list this device's properties. Listing all devices would load every module on the host."""
_HINT = f"in a checkout, `ci/prepare-tests` unpacks one; or install QEMU 10.1 or newer, or set {VARIABLE} to its path"


def vfio_qemu() -> str:
    """Returns the program's path: from the environment, else from PATH, else from the cache.

    Raises HostError that says what was found instead.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen:
        if not has_device(chosen):
            raise HostError(
                "qemu-too-old",
                f"{VARIABLE}: expected a QEMU with the device {DEVICE}, found {chosen[:200]!r}",
                hint=_HINT,
            )
        return chosen
    installed = shutil.which(PROGRAM)
    if installed and has_device(installed):
        return installed
    for program in unpacked(Cache.of_user()):
        if has_device(str(program)):
            return str(program)
    found = f"{installed} has no such device" if installed else "there is no QEMU at all"
    raise HostError(
        "qemu-too-old", f"VirtualBox' guest device needs a QEMU with {DEVICE} (10.1 or newer): {found}", hint=_HINT
    )


def unpacked_in(cache: Cache) -> Path:
    """The directory whose subdirectories each hold an unpacked QEMU."""
    return cache.root / "qemu"


def unpacked(cache: Cache) -> list[Path]:
    """Returns the unpacked programs, the most recently used one first."""
    found = [path for path in unpacked_in(cache).glob(f"*/{PROGRAM}") if not path.parent.name.startswith(".")]
    return sorted(found, key=lambda path: path.parent.stat().st_mtime, reverse=True)


@functools.cache
def has_device(program: str) -> bool:
    """Whether the program runs here and knows the device."""
    try:
        done = subprocess.run([program, *HELP], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"socket=" in done.stdout
