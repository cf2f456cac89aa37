"""Real ISOs of other kinds, out of Debian's packages ``ipxe`` and ``memtest86+``: installed, or fetched by apt."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = {"ipxe": "usr/lib/ipxe/ipxe.iso", "memtest86+": "usr/lib/memtest86+/memtest86+x64.iso"}


def real_iso(package: str, folder: Path) -> Path:
    """The ISO of a package; skips the test, saying why, where neither dpkg nor apt can provide it."""
    installed = Path("/") / PACKAGES[package]
    if installed.exists():
        return installed
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip(f"the package {package} is not installed and this machine has no apt")
    done = subprocess.run(["apt-get", "download", package], cwd=folder, capture_output=True, check=False, timeout=120)
    archives = list(folder.glob("*.deb"))
    if done.returncode or not archives:
        pytest.skip(f"the package {package} is not installed and apt cannot fetch it: {done.stderr.decode()[-200:]}")
    subprocess.run(["dpkg-deb", "-x", archives[0], folder], check=True)
    return folder / PACKAGES[package]
