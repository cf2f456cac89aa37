"""Reads results.tgz and boinc_log.tgz, which are bytes from a stranger's computer.

``members`` walks an archive once, front to back, in bounded memory. It rejects what no job writes: absolute or climbing
names, devices, links that lead out, duplicates, bombs, truncated archives and trailing data. Unpacking and comparing
both use it. Format: POSIX pax and GNU tar, parsed by ``tarfile``. Every member must also pass its ``data`` filter (PEP
706); the rules here are stricter.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from boinc2docker.errors import InputError
from boinc2docker.formats.bounded_tar import BoundedGzip, BoundedTar, UnreadableError, malformed, too_much

MAX_NAME = 1024
MAX_PART = 255
MAX_DEPTH = 64
CHUNK = 1 << 18
DESTINATION = "/nonexistent/results"
"""The data filter wants a target directory. This one does not exist, so nothing on this disk affects the answer."""


@dataclass(frozen=True)
class Limits:
    """Limits of one archive: unpacked bytes, number of members, unpacked bytes per packed byte."""

    unpacked_bytes: int = 4 << 30
    files: int = 100_000
    ratio: int = 200


class Kind(Enum):
    """What a member is. A HARD_LINK names an earlier file of the archive."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    HARD_LINK = "hard link"


@dataclass(frozen=True)
class Member:
    """A member: its relative path, and the target of a link. ``chunks`` is valid only until the next member."""

    name: str
    kind: Kind
    target: str
    size: int
    chunks: Callable[[], Iterator[bytes]]


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens ``path`` for reading. Raises UnreadableError if that fails."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise UnreadableError("unreadable", f"{path.name} cannot be read now: {error.strerror}") from error
    with stream:
        yield stream


def members(source: BinaryIO, limits: Limits, *, leave_out: Callable[[str], None] | None = None) -> Iterator[Member]:
    """Yields every member in order. Raises InputError for a rejected archive, UnreadableError if reading fails.

    With ``leave_out``, bad members are skipped and their faults reported to it instead of failing the archive.
    """
    stream = BoundedGzip(source, bytes_limit=limits.unpacked_bytes, ratio_limit=limits.ratio)
    seen: dict[str, Kind] = {}
    left_out = 0
    archive = BoundedTar(stream)
    while (info := archive.next()) is not None:
        try:
            member = _judged(info, stream, seen)
        except InputError as error:
            if leave_out is None:
                raise
            leave_out(error.message)
            left_out, member = left_out + 1, None
        if len(seen) + left_out + (member is not None) > limits.files:
            raise too_much(f"the archive has more than {limits.files} members")
        if member is not None:
            seen[member.name] = member.kind
            yield member
    if stream.last_block.strip(b"\0") or len(stream.last_block) < 512:
        raise malformed(f"the archive ends without its end mark, or a header near byte {stream.tell()} is damaged")
    stream.finish()


def _judged(info: tarfile.TarInfo, stream: BoundedGzip, seen: dict[str, Kind]) -> Member | None:
    name = _name(info.name)
    if info.issparse() or not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        raise malformed(f"{_shown(name)} is neither file, directory nor link")
    if not name:
        if info.isdir():
            return None
        raise malformed("a member has no name")
    kind = _kind(info)
    earlier = seen.get(name)
    if earlier is not None and not (earlier is Kind.DIRECTORY and kind is Kind.DIRECTORY):
        raise malformed(f"{_shown(name)} is in the archive twice")
    _check_parents(name, seen)
    target = ""
    if kind is Kind.LINK:
        target = _link_target(name, info.linkname)
    elif kind is Kind.HARD_LINK:
        target = _name(info.linkname)
        if seen.get(target) is not Kind.FILE:
            raise malformed(f"{_shown(name)} is a hard link to something that is not an earlier file of the archive")
    _ask_data_filter(info, name)
    size = info.size if kind is Kind.FILE else 0
    if size < 0:
        raise malformed(f"{_shown(name)} has a negative size")
    return Member(name, kind, target, size, lambda: _chunks(stream, size, name))


def _kind(info: tarfile.TarInfo) -> Kind:
    if info.issym():
        return Kind.LINK
    if info.islnk():
        return Kind.HARD_LINK
    return Kind.DIRECTORY if info.isdir() else Kind.FILE


def _name(name: str) -> str:
    """The relative path without ``.`` parts; '' is the root of the archive."""
    _check_length(name)
    if name.startswith("/") or "\0" in name:
        raise malformed(f"the name {_shown(name)} is absolute or has a NUL byte")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise malformed(f"the name {_shown(name)} leads out of the archive")
    return "/".join(parts)


def _check_length(name: str) -> None:
    """The limits of file systems for a name or a link's target, in bytes."""
    parts = [part.encode(errors="surrogateescape") for part in name.split("/")]
    if sum(map(len, parts)) + len(parts) - 1 > MAX_NAME or len(parts) - 1 > MAX_DEPTH:
        raise malformed(f"a name is too long: {_shown(name)}")
    if any(len(part) > MAX_PART for part in parts):
        raise malformed(f"a part of the name {_shown(name)} is too long")


def _check_parents(name: str, seen: dict[str, Kind]) -> None:
    """Nothing may lie below a file or a link. Parents that the archive does not list become directories."""
    parts = name.split("/")
    for depth in range(1, len(parts)):
        parent = "/".join(parts[:depth])
        if seen.setdefault(parent, Kind.DIRECTORY) is not Kind.DIRECTORY:
            raise malformed(f"{_shown(name)} lies below something that is not a directory")


def _link_target(name: str, target: str) -> str:
    """A target that stays inside: climbing parts first, at most as many as the link is deep, then names.

    ``..`` after a name is rejected: the name could be another link that leads elsewhere.
    """
    _check_length(target)
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    if not target or target.startswith("/") or "\0" in target:
        raise malformed(f"{_shown(name)} is a link to {_shown(target)}")
    if climbs > name.count("/") or ".." in parts[climbs:]:
        raise malformed(f"{_shown(name)} is a link that leads out: {_shown(target)}")
    return target


def _ask_data_filter(info: tarfile.TarInfo, name: str) -> None:
    """Applies Python's own filter to the cleaned name.

    Python 3.11.0 to 3.11.3 lack it; the rules above do not rely on it.
    """
    if not hasattr(tarfile, "data_filter"):
        return
    try:
        tarfile.data_filter(info.replace(name=name, deep=False), DESTINATION)
    except tarfile.FilterError as error:
        raise malformed(f"{_shown(name)}: {ascii(str(error))[1:200]}") from error


def _chunks(stream: BoundedGzip, size: int, name: str) -> Iterator[bytes]:
    left = size
    while left:
        data = stream.read(min(left, CHUNK))
        if not data:
            raise malformed(f"the archive ends inside {_shown(name)}")
        left -= len(data)
        yield data


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 100 else name[:97] + "...")
