"""Reads the control paragraph and the files of a ``.deb``, without unpacking or installing it.

Format: deb(5), read by python-debian.
"""

from __future__ import annotations

import contextlib
import lzma
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from debian.arfile import ArError
from debian.deb822 import Deb822
from debian.debfile import DebFile

from boinc2docker.base.debian.tree import Node, Spool, directory, file, link, normalised
from boinc2docker.errors import InputError

_DAMAGE = (ArError, EOFError, lzma.LZMAError, tarfile.TarError, UnicodeDecodeError, ValueError)
"""What python-debian and its libraries raise for a damaged package, besides OSError."""


@contextlib.contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Turns errors of a damaged package into InputError; the system's own errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise _unreadable(name, error) from error
    except _DAMAGE as error:
        raise _unreadable(name, error) from error


def control(path: Path, name: str) -> Deb822:
    """The control paragraph of a package."""
    with _damage_named(name), DebFile(filename=str(path)) as deb:
        return deb.debcontrol()


def nodes(path: Path, name: str, wanted: Callable[[str], bool], spool: Spool) -> Iterator[tuple[str, Node]]:
    """The package's entries for which ``wanted(path)`` is true, in their order; contents go to ``spool``.

    Set-user-id and group bits are dropped: nobody logs in, and root runs everything. Raises InputError for a package
    that cannot be read, or that holds anything but directories, files and links.
    """
    with _damage_named(name), DebFile(filename=str(path)) as deb:
        archive = deb.data.tgz()
        seen: dict[str, Node] = {}
        for member in archive:
            where = normalised(member.name)
            if not where or not wanted(where):
                continue
            seen[where] = _node(archive, member, name, spool, seen)
            yield where, seen[where]


def _node(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, spool: Spool, seen: dict[str, Node]) -> Node:
    mode = member.mode & 0o755
    if member.isdir():
        return directory(0o755, package=name)
    if member.issym():
        return link(member.linkname, package=name)
    if member.islnk():
        first = seen.get(normalised(member.linkname))
        if first is None:
            raise InputError(
                "bad-package", f"{name}: {member.name} is a hard link to {member.linkname}, which was dropped"
            )
        return first
    if member.isreg():
        stream = cast(BinaryIO, archive.extractfile(member))
        return file(spool.put(stream), mode, package=name)
    raise InputError("bad-package", f"{name}: {member.name} is neither a directory nor a file nor a link")


def _unreadable(name: str, error: Exception) -> InputError:
    return InputError("bad-package", f"cannot read the package {name}: {error}")
