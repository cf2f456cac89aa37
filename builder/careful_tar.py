"""Unpacking archives of strangers by the rules of PEP 706, and tighter, on every Python.

``tarfile`` knows these rules as its ``data`` filter since 3.11.4; Debian 12 has an older one, and for long after that a
path too long for the system led it astray (CVE-2025-4517). So they are asked here, of each member when all before it
have been written: links among them count as what they are. What Python's filter lets through and this does not:

* a path that cannot be followed to its end: too long, through a file, or with ``..`` after something that is not there;
* a link whose name is taken, so that no path means another place later than when it was judged;
* a hard link to anything but a file already written: ``tarfile`` would write a member that was left out in its stead.
"""

from __future__ import annotations

import copy
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

_LONGEST = 4096
"""Characters of a path; Linux takes one byte less, so nothing longer could be written."""
Judge = Callable[[tarfile.TarInfo, str], tarfile.TarInfo | None]
"""Gets a member and the destination; gives what is to be written, or None to leave it out."""


class RefusedError(Exception):
    """A member that must not be written; the text says why."""


def data(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo:
    """The member as it may be written: nobody's in particular, with ordinary permissions.

    Raises RefusedError for devices, and for names and links that lead outside the destination.
    """
    found = copy.copy(member)
    found.name = member.name.lstrip("/")
    found.pax_headers = {}  # they may be long, and tarfile keeps directories to the end
    root = os.path.realpath(destination)
    _require_inside(root, f"{root}/{found.name}", "the name leads outside")
    if not (member.isreg() or member.isdir() or member.islnk() or member.issym()):
        raise RefusedError("neither file, directory nor link")
    if member.islnk() or member.issym():
        if member.linkname.startswith("/"):
            raise RefusedError("the link is absolute")
        if os.path.lexists(f"{root}/{found.name}"):
            raise RefusedError("a link over something that is there")
        start = found.name.rpartition("/")[0] if member.issym() else ""
        target = f"{root}/{start}/{member.linkname}"
        _require_inside(root, target, "the link leads outside")
        if member.islnk() and not _is_file(target):
            raise RefusedError("a hard link to something that is no file before it")
    found.uid, found.gid, found.uname, found.gname = os.getuid(), os.getgid(), "", ""
    if member.isdir() or member.issym():
        found.mode = 0o755
    else:
        found.mode = (member.mode & 0o755 if member.mode & 0o100 else member.mode & 0o644) | 0o600
    return found


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


def _require_inside(root: str, path: str, why: str) -> None:
    if os.path.commonpath([_followed(path), root]) != root:
        raise RefusedError(why)


def _followed(path: str) -> str:
    """Where ``path`` leads, every link followed as the system does; its last parts need not be there yet.

    Raises RefusedError where nobody can tell: a guess of ours is not what the system does.
    """
    if len(path) > _LONGEST:
        raise RefusedError("the path is too long")
    missing: list[str] = []
    while True:
        try:
            found = os.path.realpath(path, strict=True)
        except FileNotFoundError:
            path, part = os.path.split(path)
            missing.append(part)
        except OSError as error:
            raise RefusedError(f"the path cannot be followed: {error.strerror}") from error
        else:
            break
    if ".." in missing:
        raise RefusedError("the path climbs from something that is not there")
    if missing and os.path.lexists(f"{found}/{missing[-1]}"):
        raise RefusedError("the path goes through a link to something that is not there")
    return "/".join([found, *reversed(missing)])


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
