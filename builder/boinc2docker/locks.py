"""How the package excludes other processes: by the kernel's flock(2), which ends with the process, however it ends.

BOINC's ``start`` locks a daemon's own file (``pid_HOST/NAME.lock``) with lockf(3), which does not see a flock: the two
never meet, and nothing here touches BOINC's files.

Not by filelock, which ``fetch`` and ``iso`` use: every result that a daemon assimilates takes a lock, and loading that
package takes 13 ms of processor, a tenth of such a process. It looks again every 50 ms where the kernel would wake the
next in line, and on a file system without flock it takes a file's existence for a lock, which outlives its holder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boinc2docker.atomic import explain

DIRECTORY = ".locks"


def lock_of(root: Path, name: str) -> Path:
    """The lock file below ``root`` for anything that has a name, whatever characters are in it."""
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    return root / DIRECTORY / digest[:32]


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
                continue  # its last holder removed it, and perhaps there is a new one: begin again
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


@contextmanager
def held(path: Path, *, shared: bool) -> Iterator[None]:
    """Holds the lock file ``path``, which stays: together with others if ``shared``, else alone. Waits for it.

    Raises HostError if the file cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o664)
    except OSError as error:
        raise explain(error, f"write {path}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
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
