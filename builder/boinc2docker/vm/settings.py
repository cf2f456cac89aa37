"""How a job is run in a machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boinc2docker.vm.acceleration import Acceleration
from boinc2docker.vm.machine import Like


@dataclass(frozen=True)
class Settings:
    """How to run a job; times are in seconds. ``heartbeat_limit`` None: chosen by acceleration; ``timeout`` None: none.

    ``patience`` multiplies every limit but ``timeout``, the guest's own limit for Docker included. The data disk is a
    new one of ``disk_bytes`` or a copy of ``disk_file``; without either there is none.
    """

    memory_mb: int = 2048
    cpus: int = 1
    disk_bytes: int | None = None
    disk_file: Path | None = None
    network: bool = True
    timeout: float | None = None
    boot_limit: float = 600
    heartbeat_limit: float | None = None
    patience: int = 1
    acceleration: Acceleration | None = None
    like: Like = Like.QEMU
    device_options: tuple[str, ...] = ()
    """Further options of the process that emulates VirtualBox' guest device."""
