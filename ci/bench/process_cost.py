"""What a whole process costs: wall seconds, and the processor time and peak memory that the kernel accounts to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.errors import CommandError
from tests.equipment.checkout import PYTHON_PATH

_MEASURE = """\
import json, os, sys, time
began = time.monotonic()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
figures = [time.monotonic() - began, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime]
os.write(int(sys.argv[1]), json.dumps([os.waitstatus_to_exitcode(status), *figures]).encode())
"""
"""Starts the program from a small process: the peak that the kernel tells is never below that of who started it."""


@dataclass(frozen=True)
class Run:
    """One finished process: wall seconds, peak resident memory in MB of it or of the largest process it waited for.

    ``cpu`` are seconds of processors, with those of processes it waited for: they say less of what else goes on.
    """

    seconds: float
    peak_mb: float
    cpu: float = 0


def timed(argv: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Run:
    """Runs ``argv`` to its end, its output thrown away; raises CommandError if it fails."""
    words = [str(word) for word in argv]
    variables = {**os.environ, "PYTHONPATH": PYTHON_PATH, **(environment or {})}
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as output, os.fdopen(reading, "rb") as figures:
        try:
            subprocess.run(
                [sys.executable, "-I", "-S", "-c", _MEASURE, str(writing), *words],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[writing],
                check=False,
            )
        finally:
            os.close(writing)
        status, seconds, peak_mb, cpu = json.loads(figures.read() or "[127, 0, 0, 0]")
        if status != 0:
            output.seek(0)
            raise CommandError(words, status, output.read().decode(errors="replace"))
    return Run(seconds, peak_mb, cpu)
