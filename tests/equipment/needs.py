"""What a test needs of this machine: it skips, and says what is missing, where that is not here."""

from __future__ import annotations

import shutil
import sys

import pytest

from boinc2docker.errors import HostError
from boinc2docker.vm.vfio_qemu import vfio_qemu


def needs(*programs: str) -> None:
    """Skips the test, with the reason, unless all these programs are on this machine."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)} (ci/prepare-tests installs them as root)")


def needs_vboxsf() -> None:
    """Skips the test, with the reason, unless this machine has a QEMU for VirtualBox' guest device."""
    if sys.platform != "linux":
        pytest.skip("VirtualBox' guest device is emulated on Linux only")
    try:
        vfio_qemu()
    except HostError as error:
        pytest.skip(f"{error.message} ({error.hint})")
