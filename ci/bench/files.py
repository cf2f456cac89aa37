"""A job with large inputs and large results, in a real machine: how long its files take, from mount to report."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker import console
from boinc2docker import programs as command
from boinc2docker.errors import HostError
from boinc2docker.vm.acceleration import choose
from boinc2docker.vm.machine import Like
from boinc2docker.vm.vfio_qemu import vfio_qemu
from tests.e2e.images import old_archive
from tests.equipment.checkout import PROJECT_ROOT

_EMULATED_MB = 64
"""Without hardware virtualisation a gigabyte takes half an hour."""
_SCRIPT = "cat /root/shared/data >/root/shared/results/data"


@dataclass(frozen=True)
class FileSeconds:
    """Seconds from the mounted share to the report, for so many megabytes of inputs and as many of results."""

    megabytes: int
    seconds: float
    like: str

    def __str__(self) -> str:
        return f"{self.megabytes} MB of inputs and of results, like {self.like}: {self.seconds:.1f} s, mount to report"


def inputs_and_results(iso: Path, *, megabytes: int | None = None) -> FileSeconds:
    """Runs the job over VirtualBox' shared folders where this machine has the QEMU for them, else over 9p.

    ``megabytes``: 1000 by default, less where the machine is emulated. Raises HostError if a program is missing.
    """
    size = megabytes or (1000 if choose().hardware else _EMULATED_MB)
    with (
        tempfile.TemporaryDirectory(prefix="boinc2docker-bench-") as name,
        console.step(f"A job with {size} MB of inputs and as many of results"),
    ):
        work = Path(name)
        with (work / "data").open("wb") as data:
            for _ in range(size):
                data.write(os.urandom(1_000_000))
        words: list[str | Path] = ["run", old_archive(work / "image.tar"), "--iso", iso, "--json"]
        words += ["--like", _like(), "--disk", f"{size * 4 + 1000}MB", "--input", work / "data"]
        words += ["--results", work / "results", "--", "/bin/sh", "-c", _SCRIPT]
        output = command.run([sys.executable, "-m", "boinc2docker.cli.program", *words], cwd=PROJECT_ROOT)
        outcome: dict[str, Any] = json.loads(output)
    marks = outcome["phases"]
    return FileSeconds(size, round(marks["report"] - marks["shared"], 2), _like())


def _like() -> Like:
    try:
        vfio_qemu()
    except HostError:
        return Like.QEMU
    return Like.VIRTUALBOX
