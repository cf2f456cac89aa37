"""Running other programs: no shell, output kept, failures told with the command and its last lines."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from boinc2docker.errors import CommandError, HostError


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
) -> bytes:
    """Runs ``argv`` to its end and returns its stdout.

    Raises CommandError if it exits non-zero or outlives ``timeout`` seconds, HostError if it is not there.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, cwd=cwd, env=env, input=stdin, capture_output=True, timeout=timeout, check=False)
    except FileNotFoundError as error:
        raise HostError("program-missing", f"{words[0]} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(words, 124, f"no end after {timeout} s") from error
    if done.returncode != 0:
        output = done.stderr or done.stdout
        raise CommandError(words, done.returncode, output.decode(errors="replace"))
    return done.stdout
