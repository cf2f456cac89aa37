"""The files of an image archive: a tar, a compressed tar or a directory.

Nothing is ever unpacked by the names found inside: names are looked up, links are followed inside the archive only.
"""

from __future__ import annotations

import contextlib
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from boinc2docker import console
from boinc2docker.atomic import explain
from boinc2docker.errors import InputError
from boinc2docker.formats.compression import MAGIC_BYTES, Undo, chunks, detect
from boinc2docker.image.image_config import MAX_JSON

MAX_MEMBERS = 200_000
"""Files that an archive may have; an image of 125 layers has about 400."""
MAX_UNPACKED = 256 << 30
"""Bytes a compressed archive may expand to."""
_MAX_LINKS = 16
_NOT_AN_IMAGE = "expected an archive made by `docker save` or an OCI image archive"


class Window:
    """The next ``size`` bytes of a file, which it owns. Raises InputError where the file ends early."""

    def __init__(self, stream: BinaryIO, size: int, shown: str) -> None:
        self._stream, self._left, self._shown = stream, size, shown

    def read(self, amount: int = -1) -> bytes:
        wanted = self._left if amount < 0 else min(amount, self._left)
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise InputError("truncated", f"{self._shown} is truncated")
        self._left -= len(data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ending: object) -> None:
        self._stream.close()


class ArchiveFiles(Protocol):
    """Read access to an archive by the names its own manifests use."""

    def __contains__(self, name: str) -> bool: ...

    def size(self, name: str) -> int:
        """Bytes of a regular file; links are followed. Raises InputError if it is missing or outside the archive."""

    def open(self, name: str) -> Window:
        """The content of a regular file; links are followed. Raises InputError as ``size`` does."""


def read_small(files: ArchiveFiles, name: str, limit: int = MAX_JSON) -> bytes:
    """The content of a file of at most ``limit`` bytes."""
    if files.size(name) > limit:
        raise InputError("bad-archive", f"{name} in the archive is larger than {limit >> 20} MB")
    with files.open(name) as stream:
        return stream.read(limit)


def clean_name(name: str) -> str:
    """The normal form of a path inside an archive. Raises InputError for absolute paths and any ``..``."""
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise InputError(
            "unsafe-path",
            f"the archive has a path that leads outside it: {name[:200]!r}",
            hint="do not trust it",
        )
    return posixpath.normpath(name) if name else ""


@dataclass(frozen=True)
class _Member:
    """Where a file's bytes are, or what a link points to, relative to the archive's root."""

    offset: int
    size: int
    target: str | None = None


class TarFiles:
    """A plain, seekable tar. Only its index is kept in memory."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path, self._shown = path, shown
        self._members = _index(path, shown)

    def __contains__(self, name: str) -> bool:
        return clean_name(name) in self._members

    def size(self, name: str) -> int:
        return self._find(name).size

    def open(self, name: str) -> Window:
        member = self._find(name)
        stream = self._path.open("rb")
        stream.seek(member.offset)
        return Window(stream, member.size, f"{name} in {self._shown}")

    def _find(self, name: str) -> _Member:
        wanted = clean_name(name)
        for _ in range(_MAX_LINKS):
            member = self._members.get(wanted)
            if member is None:
                raise InputError("missing-file", f"{self._shown}: {name} is missing", hint="save the image again")
            if member.target is None:
                return member
            wanted = member.target
        raise InputError("unsafe-path", f"{self._shown}: {name} is a link that never ends")


def _index(path: Path, shown: str) -> dict[str, _Member]:
    """The regular files and links of a tar. Of several with one name, the last counts, as for tar itself."""
    members: dict[str, _Member] = {}
    last = -1
    try:
        with tarfile.open(path, "r:") as tar:
            while (info := tar.next()) is not None:
                # A header with a negative size makes the module walk backwards, for ever.
                if info.offset <= last or len(members) > MAX_MEMBERS:
                    raise InputError("bad-archive", f"{shown}: the tar's headers make no sense")
                last = info.offset
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps a record of every file
                if (member := _member(info)) is not None:
                    members[clean_name(info.name)] = member
    except tarfile.ReadError as error:
        raise _not_a_tar(path, shown, str(error)) from error
    except (tarfile.TarError, ValueError, OverflowError, EOFError, IndexError, RecursionError, MemoryError) as error:
        raise InputError("bad-archive", f"{shown}: damaged tar ({type(error).__name__})") from error
    return members


def _member(info: tarfile.TarInfo) -> _Member | None:
    if info.issym():
        inside = posixpath.join(posixpath.dirname(info.name), info.linkname)
        target = posixpath.normpath(inside)
        if info.linkname.startswith("/") or target.startswith("../") or target == "..":
            raise InputError("unsafe-path", f"the archive has a link that leads outside it: {info.name[:200]!r}")
        return _Member(0, 0, target)
    if info.islnk():
        return _Member(0, 0, clean_name(info.linkname))
    clean_name(info.name)
    if not info.isreg() or info.issparse():
        return None
    if info.size < 0:
        raise InputError("bad-archive", f"the archive has a file of negative size: {info.name[:200]!r}")
    return _Member(info.offset_data, info.size)


def _not_a_tar(path: Path, shown: str, cause: str) -> InputError:
    if path.stat().st_size == 0:
        return InputError("not-an-archive", f"{shown} is empty; {_NOT_AN_IMAGE}")
    if "unexpected end" in cause:
        return InputError("truncated", f"{shown} is truncated", hint="save or copy it again")
    return InputError("not-an-archive", f"{shown} is no tar archive; {_NOT_AN_IMAGE}")


class DirectoryFiles:
    """An unpacked OCI image layout on the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def __contains__(self, name: str) -> bool:
        return (self._root / clean_name(name)).is_file()

    def size(self, name: str) -> int:
        return self._find(name).stat().st_size

    def open(self, name: str) -> Window:
        path = self._find(name)
        return Window(path.open("rb"), path.stat().st_size, str(path))

    def _find(self, name: str) -> Path:
        path = (self._root / clean_name(name)).resolve()
        if not path.is_relative_to(self._root):
            raise InputError("unsafe-path", f"{self._root}: {name} is a link that leads outside")
        if not path.is_file():
            raise InputError("missing-file", f"{self._root}: {name} is missing", hint="save the image again")
        return path


@contextlib.contextmanager
def opened(path: Path, work: Path) -> Iterator[ArchiveFiles]:
    """The files of the archive at ``path``. A compressed tar is expanded into ``work`` while this is open.

    Raises InputError if it is not an archive or is damaged, HostError if the disk fills up.
    """
    if path.is_dir():
        yield DirectoryFiles(path)
        return
    try:
        with path.open("rb") as stream:
            kind = detect(stream.read(MAGIC_BYTES))
    except OSError as error:
        raise explain(error, f"read {path}") from error
    if kind == "none":
        yield TarFiles(path, str(path))
        return
    expanded = Path(tempfile.mkdtemp(prefix=".expanded.", dir=work))
    try:
        yield TarFiles(_expand(path, kind, expanded / "archive.tar"), str(path))
    finally:
        shutil.rmtree(expanded, ignore_errors=True)


def _expand(path: Path, kind: str, target: Path) -> Path:
    undo = Undo(kind, str(path))
    written = 0
    try:
        with (
            path.open("rb") as source,
            target.open("wb") as output,
            console.progress(f"expanding {path.name}", path.stat().st_size) as advance,
        ):
            for chunk in chunks(source):
                for piece in undo.feed(chunk):
                    if not written:
                        _looks_like_tar(piece, path)
                    written += output.write(piece)
                    if written > MAX_UNPACKED:
                        raise InputError("bad-archive", f"{path} expands to more than {MAX_UNPACKED >> 30} GB")
                advance(len(chunk))
            undo.close()
    except OSError as error:
        raise explain(error, f"expand {path}") from error
    return target


def _looks_like_tar(head: bytes, path: Path) -> None:
    """Raises InputError for compressed data that is not a tar, before gigabytes of it are on the disk."""
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise InputError("not-an-archive", f"{path} is compressed, but no tar; {_NOT_AN_IMAGE}") from error
