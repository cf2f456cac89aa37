"""Temporary files and directories that a killed process leaves behind: the next process to make one removes them.

Whoever makes one holds a kernel lock (flock(2)) on it until it is finished or gone. The lock ends with the process,
however it ends, so what lies under a temporary name without a lock belongs to nobody. A living process's is never
touched, nor is another user's, nor anything on a file system without such locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

_RANDOM = r"[a-z0-9_]{8}"
"""What tempfile puts between prefix and suffix."""
_SCRATCH = "boinc2docker-held-"
"""Not "boinc2docker-", whose directories hold no lock: those of programs older than this one may be in use."""


@contextlib.contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """A new, empty file beside ``target``, gone at the end unless it was renamed. Raises OSError."""
    with _held(target.parent, f".{target.name}.", ".part", _make_file) as path:
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def directory_part_of(target: Path) -> Iterator[Path]:
    """A new, private directory beside ``target``, gone at the end unless it was renamed. Raises OSError."""
    with _held(target.parent, f".{target.name}.", ".part", tempfile.mkdtemp) as path:
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def scratch(directory: Path | None = None, *, prefix: str = _SCRATCH) -> Iterator[Path]:
    """A new, private directory for one job, in the system's directory for such or in ``directory``; gone at the end.

    Raises OSError.
    """
    with _held(directory or Path(tempfile.gettempdir()), prefix, "", tempfile.mkdtemp) as path:
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _make_file(*, prefix: str, suffix: str, dir: Path) -> str:
    descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=dir)
    os.close(descriptor)
    return name


@contextlib.contextmanager
def _held(directory: Path, prefix: str, suffix: str, make: Callable[..., str]) -> Iterator[Path]:
    """A new file or directory whose lock this process holds; dead processes' are removed first."""
    _sweep(directory, re.compile(re.escape(prefix) + _RANDOM + re.escape(suffix)))
    while True:
        path = Path(make(prefix=prefix, suffix=suffix, dir=directory))
        descriptor = _open(path)
        if descriptor is None:
            break
        locked = _lock(descriptor)
        if locked is None or (locked and _is(path, descriptor)):
            break
        os.close(descriptor)  # somebody's sweep came between making and locking, and removes it
    try:
        yield path
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _sweep(directory: Path, name: re.Pattern[str]) -> None:
    """Removes what matches and has no living maker. Never fails: what cannot be removed stays."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for path in [Path(entry.path) for entry in entries if name.fullmatch(entry.name)]:
            _remove_if_dead(path)


def _remove_if_dead(path: Path) -> None:
    descriptor = _open(path)
    if descriptor is None:
        return
    try:
        if os.fstat(descriptor).st_uid != os.geteuid() or not _lock(descriptor) or not _is(path, descriptor):
            return
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int | None:
    """A descriptor that can be locked; None for what is neither file nor directory, or not there, or not ours.

    A network file system wants a file open for writing before it locks it.
    """
    try:
        kind = path.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            return None
        way = os.O_RDONLY | os.O_DIRECTORY if stat.S_ISDIR(kind) else os.O_RDWR | os.O_NONBLOCK
        return os.open(path, way | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None


def _lock(descriptor: int) -> bool | None:
    """Whether the lock is ours now; None where the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is(path: Path, descriptor: int) -> bool:
    """Whether the path still names what is open."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False
