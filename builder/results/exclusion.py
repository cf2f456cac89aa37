"""One process at a time, by the kernel's own file locks: they end with the process, however it ends."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.atomic import explain

DIRECTORY = ".locks"


@contextmanager
def exclusively(root: Path, name: str) -> Iterator[None]:
    """Waits until nobody else holds ``name`` below ``root``. The lock file is removed by whoever held it.

    After the wait the file may be gone and another one there; then the wait begins anew.
    """
    path = root / DIRECTORY / hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise explain(error, f"lock {path}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_still(path, descriptor):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
