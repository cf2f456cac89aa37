"""Unpacking archives of strangers by the rules of PEP 706, on every Python 3.11.

``tarfile`` knows these rules as its ``data`` filter since 3.11.4; Debian 12 has an older one. There the same rules
are asked here, of each member when all before it have been written, so that links among them count as what they are.
"""

from __future__ import annotations

import copy
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

Judge = Callable[[tarfile.TarInfo, str], tarfile.TarInfo | None]
"""Gets a member and the destination; gives what is to be written, or None to leave it out."""


class RefusedError(Exception):
    """A member that must not be written; the text says why."""


def data(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo:
    """The member as it may be written: nobody's in particular, with ordinary permissions.

    Raises RefusedError for devices, and for names and links that lead outside the destination.
    """
    if not hasattr(tarfile, "data_filter"):
        return _judged(member, destination)
    try:
        return tarfile.data_filter(member, destination)
    except tarfile.FilterError as error:
        raise RefusedError(type(error).__name__) from error


def extract_all(archive: tarfile.TarFile, destination: Path, judge: Judge) -> None:
    """Writes the members that ``judge`` lets through. Raises what tarfile and the judge raise."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(destination, filter=judge)  # noqa: S202  the judge makes it safe
        return

    def allowed() -> Iterator[tarfile.TarInfo]:
        for member in archive:
            if (found := judge(member, str(destination))) is not None:
                yield found

    archive.extractall(destination, members=allowed())  # noqa: S202  the same


def _judged(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo:
    found = copy.copy(member)
    found.name = member.name.lstrip("/")
    root = os.path.realpath(destination)
    _require_inside(root, f"{root}/{found.name}", "the name leads outside")
    if not (member.isreg() or member.isdir() or member.islnk() or member.issym()):
        raise RefusedError("neither file, directory nor link")
    if member.islnk() or member.issym():
        if member.linkname.startswith("/"):
            raise RefusedError("the link is absolute")
        start = found.name.rpartition("/")[0] if member.issym() else ""
        _require_inside(root, f"{root}/{start}/{member.linkname}", "the link leads outside")
    found.uid, found.gid, found.uname, found.gname = os.getuid(), os.getgid(), "", ""
    if member.isdir() or member.issym():
        found.mode = 0o755
    else:
        found.mode = (member.mode & 0o755 if member.mode & 0o100 else member.mode & 0o644) | 0o600
    return found


def _require_inside(root: str, path: str, why: str) -> None:
    if os.path.commonpath([os.path.realpath(path), root]) != root:
        raise RefusedError(why)
