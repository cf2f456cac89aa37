"""One process at a time, by the kernel's own file locks: they end with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boinc2docker.atomic import explain


@contextmanager
def exclusively(path: Path, *, waiting: str = "") -> Iterator[None]:
    """Waits until nobody else holds the lock file ``path``, which whoever held it removes.

    ``waiting`` is said if it takes waiting. Raises HostError if the file cannot be made.
    """
    told = not waiting
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise explain(error, f"lock {path}") from error
        try:
            told = told or _is_free(descriptor) or _say(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_still(path, descriptor):
                continue  # removed by its last holder, and perhaps another one is there: begin anew
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _say(text: str) -> bool:
    from boinc2docker import console  # only here: loading it takes longer than a small result

    console.info(text)
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
