"""Reads one small file of a ``.deb``, and nothing after it."""

from __future__ import annotations

import lzma
import posixpath
import tarfile
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from debian.arfile import ArError
from debian.debfile import DebFile

from boinc2docker.errors import InputError

_LARGEST = 32 << 20
_DAMAGE = (ArError, OSError, EOFError, lzma.LZMAError, tarfile.TarError, ValueError)


@dataclass(frozen=True)
class Member:
    """A file's content (its first 32 MB), or the target of a symbolic link, relative to the root."""

    data: bytes
    target: str | None


def find(deb: Path, name: str, wanted: Container[str]) -> Member | None:
    """The first file or link of the package ``name`` whose path (``usr/share/…``) is wanted; None if there is none.

    Raises InputError for a package that cannot be read.
    """
    try:
        with DebFile(filename=str(deb)) as package:
            archive: tarfile.TarFile = package.data.tgz()
            for member in archive:
                where = posixpath.normpath(member.name).lstrip("/")
                if where not in wanted or member.isdir():
                    continue
                if member.issym():
                    return Member(b"", posixpath.normpath(posixpath.join(posixpath.dirname(where), member.linkname)))
                stream = archive.extractfile(member)
                return None if stream is None else Member(stream.read(_LARGEST), None)
    except _DAMAGE as error:
        raise InputError("bad-package", f"cannot read the package {name}: {error}") from error
    return None
