"""Writes an archive's members below one directory, and nowhere else."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from boinc2docker.atomic import explain, flush
from boinc2docker.formats.bounded_tar import malformed
from boinc2docker.results.archive import Kind, Limits, Member, members, opened

_NAMES = {errno.EMLINK, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
"""Errors for names, or numbers of links, that a file system cannot store: the archive's fault."""
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""Errors of a file system without links (symlink(2), link(2))."""


def unpack(
    archive: Path,
    target: Path,
    limits: Limits,
    *,
    durable: bool = True,
    leave_out: Callable[[str], None] | None = None,
) -> int:
    """Unpacks ``archive`` into the new directory ``target`` and returns the number of files.

    Files are 0644 and directories 0755, whatever the archive says. Links are made last, so nothing is ever written
    through one. ``durable`` flushes every file. With ``leave_out``, bad members are skipped and their faults reported
    to it. Raises InputError for a rejected archive (the caller removes what was written), UnreadableError, or HostError
    for a full disk.
    """
    links: list[Member] = []
    files = 0
    try:
        target.mkdir(mode=0o755)
        with opened(archive) as source:
            for member in members(source, limits, leave_out=leave_out):
                path = target / member.name
                if member.kind is Kind.LINK:
                    links.append(member)
                    continue
                if member.kind is Kind.DIRECTORY:
                    path.mkdir(mode=0o755, parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                files += 1
                if member.kind is Kind.HARD_LINK:
                    _link(target, member, leave_out)
                else:
                    _write(path, member, durable=durable)
        for link in links:
            _link(target, link, leave_out)
        if durable:
            for parent, _, _ in os.walk(target):
                flush(Path(parent))
    except OSError as error:
        if error.errno in _NAMES:
            raise malformed(f"the file system cannot store the archive's names: {error.strerror}") from error
        raise explain(error, f"unpack {archive.name}") from error
    return files


def _link(target: Path, link: Member, leave_out: Callable[[str], None] | None) -> None:
    path = target / link.name
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        if link.kind is Kind.HARD_LINK:
            os.link(target / link.target, path, follow_symlinks=False)
        else:
            path.symlink_to(link.target)
    except OSError as error:
        if leave_out is None or error.errno not in _NO_LINKS:
            raise
        leave_out(f"{link.name[:200]!a} is a {link.kind.value}, and this file system has none")


def _write(path: Path, member: Member, *, durable: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "wb") as output:
        for chunk in member.chunks():
            output.write(chunk)
    if durable:
        flush(path)
