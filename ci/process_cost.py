"""What a whole process costs: wall seconds, and the processor time and peak memory that the kernel accounts to it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import PROJECT_ROOT
from builder.errors import CommandError


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
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        files = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)]
        variables = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), **(environment or {})}
        child = os.posix_spawnp(words[0], words, variables, file_actions=files)
        _, status, usage = os.wait4(child, 0)
        seconds = time.monotonic() - began
        if status != 0:
            output.seek(0)
            raise CommandError(words, os.waitstatus_to_exitcode(status), output.read().decode(errors="replace"))
    return Run(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)
