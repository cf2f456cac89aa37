"""Writing files so that nobody ever sees half of one.

Temporary name in the target's directory, write, flush to disk, (the caller's check), rename, flush the directory. What
killed writers of the same target left is removed first.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from boinc2docker import leftovers
from boinc2docker.errors import BuilderError, HostError


def explain(error: OSError, doing: str) -> BuilderError:
    """What an OSError means to a user who wanted ``doing`` ("write build/x.iso")."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostError("disk-full", f"cannot {doing}: the disk is full", hint="free some room and run it again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "choose a directory you may write to"
        return HostError("no-permission", f"cannot {doing}: {error.strerror}", hint=hint)
    return HostError("io-error", f"cannot {doing}: {error.strerror or error}")


@contextlib.contextmanager
def replacing(target: Path, *, mode: int = 0o644, check: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Yields a temporary path beside ``target``; on a clean exit it becomes ``target``.

    ``check`` is called with the finished, flushed temporary file; what it raises leaves ``target`` as it was.
    ``mode`` is the final mode, whatever the umask. On any exception (Ctrl-C too) the temporary file is removed.
    Raises HostError for a full disk or a missing permission.
    """
    try:
        make_directory(target.parent)
        with leftovers.part_of(target) as temporary:
            yield temporary
            temporary.chmod(mode)
            flush(temporary)
            if check is not None:
                check(temporary)
            temporary.replace(target)
            flush(target.parent)
    except OSError as error:
        raise explain(error, f"write {target}") from error


def write_bytes(target: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Puts ``data`` under ``target``, wholly or not at all."""
    with replacing(target, mode=mode) as temporary:
        temporary.write_bytes(data)


def write_text(target: Path, text: str, *, mode: int = 0o644) -> None:
    """Puts ``text`` as UTF-8 under ``target``, wholly or not at all."""
    write_bytes(target, text.encode(), mode=mode)


def make_directory(path: Path) -> None:
    """Makes a directory and what is missing above it. A new directory survives a power cut only after its own parent
    was flushed: so they are. Raises OSError."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        flush(one.parent)


def flush(path: Path) -> None:
    """Brings a file or a directory to the disk. Directories that cannot be flushed are left to the system."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
