"""Reads an ISO 9660 volume with Rock Ridge names, by code that is independent of the library that writes it.

Small on purpose: it lists files with their extents, so that a written ISO is judged by a second pair of eyes.
Sources: ECMA-119 (8.4 primary volume descriptor, 9.1 directory records), IEEE P1281 (SUSP), IEEE P1282 (Rock Ridge).
Damaged input raises InputError; nothing is believed that points outside the file.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from boinc2docker.digest import CHUNK, Digest
from boinc2docker.errors import InputError

SECTOR = 2048
HEAD_BYTES = 32 * SECTOR
"""System area (16 sectors) and the volume descriptors that follow it."""
MAX_ENTRIES = 200_000

_DIRECTORY = 0x02
_MULTI_EXTENT = 0x80
_JOLIET = (b"%/@", b"%/C", b"%/E")


@dataclass(frozen=True)
class IsoFile:
    """A file: its (offset, bytes) runs, and its POSIX mode if Rock Ridge gives it."""

    path: str
    extents: tuple[tuple[int, int], ...]
    mode: int | None

    @property
    def bytes(self) -> int:
        return sum(length for _, length in self.extents)


@dataclass(frozen=True)
class Volume:
    """A volume; paths begin with ``/``. ``duplicates`` are names that occur twice in a directory."""

    volume_id: str
    application_id: str
    space_bytes: int
    rock_ridge: bool
    joliet: bool
    udf: bool
    files: Mapping[str, IsoFile]
    directories: frozenset[str]
    duplicates: tuple[str, ...] = ()

    def find(self, path: str) -> IsoFile | None:
        """The file at ``path``, ignoring case."""
        if path in self.files:
            return self.files[path]
        return next((file for name, file in self.files.items() if name.lower() == path.lower()), None)


@dataclass(frozen=True)
class _Record:
    name: str
    extent: tuple[int, int]
    flags: int
    mode: int | None
    moved_away: bool = False
    """A placeholder (CL) for a deep directory, which is listed at its real place."""


@dataclass
class _Walk:
    """A walk through a directory tree."""

    stream: BinaryIO
    size: int
    rock_ridge: bool = False
    skip: int = 0
    files: dict[str, IsoFile] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)
    duplicates: list[str] = field(default_factory=list)
    visited: set[int] = field(default_factory=set)


def size_of(stream: BinaryIO) -> int:
    """Length of an open file."""
    return stream.seek(0, 2)


def read_head(stream: BinaryIO) -> bytes:
    """System area and volume descriptors, as far as present."""
    stream.seek(0)
    return stream.read(HEAD_BYTES)


def descriptors(head: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, sector) of every volume descriptor in ``head`` before the terminator."""
    for at in range(16 * SECTOR, len(head) - SECTOR + 1, SECTOR):
        sector = head[at : at + SECTOR]
        if sector[1:6] != b"CD001" or sector[0] == 255:
            return
        yield sector[0], sector


def read_volume(stream: BinaryIO) -> Volume:
    """Reads the volume in ``stream``. Raises InputError if it is not ISO 9660, truncated or damaged."""
    size = size_of(stream)
    head = read_head(stream)
    found = list(descriptors(head))
    primary = next((sector for kind, sector in found if kind == 1), None)
    if primary is None:
        raise InputError("not-an-iso", "expected an ISO 9660 image, found no volume descriptor at byte 32768")
    space = struct.unpack_from("<I", primary, 80)[0] * SECTOR
    if struct.unpack_from("<H", primary, 128)[0] != SECTOR:
        raise InputError("bad-iso", "expected sectors of 2048 bytes, found another size")
    if size < space:
        raise InputError(
            "truncated-iso", f"expected {space} bytes, as the image says, found {size}", hint="fetch it again"
        )
    walk = _Walk(stream, size)
    _walk_directory(walk, "", _extent(primary[156:190], size), depth=0)
    return Volume(
        volume_id=primary[40:72].decode("latin-1").rstrip(" \0"),
        application_id=primary[574:702].decode("latin-1").rstrip(" \0"),
        space_bytes=space,
        rock_ridge=walk.rock_ridge,
        joliet=any(kind == 2 and sector[88:91] in _JOLIET for kind, sector in found),
        udf=any(head[at + 1 : at + 6] in (b"NSR02", b"NSR03") for at in range(16 * SECTOR, len(head), SECTOR)),
        files=walk.files,
        directories=frozenset(walk.directories),
        duplicates=tuple(walk.duplicates),
    )


def chunks(stream: BinaryIO, file: IsoFile) -> Iterator[bytes]:
    """The bytes of ``file`` in pieces. Raises InputError if the image is truncated."""
    for offset, length in file.extents:
        stream.seek(offset)
        left = length
        while left:
            chunk = stream.read(min(left, CHUNK))
            if not chunk:
                raise InputError("truncated-iso", f"the image ends inside {file.path}")
            left -= len(chunk)
            yield chunk


def read_file(stream: BinaryIO, file: IsoFile, *, limit: int) -> bytes:
    """The content of a small file. Raises InputError if it has more than ``limit`` bytes."""
    if file.bytes > limit:
        raise InputError("bad-iso", f"{file.path} has {file.bytes} bytes; expected at most {limit}")
    return b"".join(chunks(stream, file))


def open_file(stream: BinaryIO, file: IsoFile) -> BinaryIO:
    """A file of the image as a stream."""
    return cast(BinaryIO, io.BufferedReader(_Pieces(chunks(stream, file)), CHUNK))


class _Pieces(io.RawIOBase):
    """A stream of byte pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # the buffer protocol has no type in Python 3.11
        self._left = self._left or next(self._pieces, b"")
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)


def digest(stream: BinaryIO, file: IsoFile) -> Digest:
    """SHA-256 of a file in the image."""
    return Digest.of_chunks(chunks(stream, file))


def _extent(record: bytes, size: int) -> tuple[int, int]:
    sector, length = struct.unpack_from("<I", record, 2)[0], struct.unpack_from("<I", record, 10)[0]
    offset = (sector + record[1]) * SECTOR
    if length and offset + length > size:
        raise InputError("truncated-iso", f"a file is at bytes {offset} to {offset + length} of an image of {size}")
    return offset, length


def _walk_directory(walk: _Walk, path: str, extent: tuple[int, int], *, depth: int) -> None:
    offset, length = extent
    if offset in walk.visited or depth > 64 or length > (64 << 20):
        raise InputError("bad-iso", f"the directory {path or '/'} is damaged: it contains itself or is too large")
    walk.visited.add(offset)
    walk.directories.add(path or "/")
    walk.stream.seek(offset)
    pending: list[_Record] = []
    for record in _records(walk, walk.stream.read(length), root=depth == 0):
        name = f"{path}/{record.name}"
        if len(walk.files) + len(walk.directories) > MAX_ENTRIES:
            raise InputError("bad-iso", f"more than {MAX_ENTRIES} files")
        if (name in walk.files and not pending) or name in walk.directories:
            walk.duplicates.append(name)
        if record.moved_away:
            continue
        if record.flags & _DIRECTORY:
            _walk_directory(walk, name, record.extent, depth=depth + 1)
            continue
        pending.append(record)
        if not record.flags & _MULTI_EXTENT:
            walk.files[name] = IsoFile(name, tuple(part.extent for part in pending if part.extent[1]), record.mode)
            pending = []


def _records(walk: _Walk, data: bytes, *, root: bool) -> Iterator[_Record]:
    """The records of a directory, without ``.`` and ``..``. A record never crosses a sector; a zero ends the sector."""
    at = 0
    while at < len(data):
        length = data[at]
        if length == 0:
            at = (at // SECTOR + 1) * SECTOR
            continue
        record = data[at : at + length]
        at += length
        if len(record) < 34 or len(record) < 33 + record[32]:
            raise InputError("bad-iso", "a directory record is damaged")
        identifier = record[33 : 33 + record[32]]
        system_use = record[33 + record[32] + (1 - record[32] % 2) :]
        if identifier in (b"\0", b"\1"):
            if root and identifier == b"\0":
                _meet_susp(walk, system_use)
            continue
        yield _record(walk, record, identifier, system_use[walk.skip :] if walk.rock_ridge else b"")


def _meet_susp(walk: _Walk, system_use: bytes) -> None:
    """The root's own record says whether System Use entries follow, and after how many bytes (SUSP 5.3)."""
    at = system_use.find(b"SP\x07\x01\xbe\xef")
    if at >= 0 and at + 7 <= len(system_use):
        walk.rock_ridge, walk.skip = True, system_use[at + 6]


def _record(walk: _Walk, record: bytes, identifier: bytes, system_use: bytes) -> _Record:
    name, mode, moved_away = b"", None, False
    for tag, entry in _susp(walk, system_use):
        if tag == b"NM" and len(entry) > 4 and not entry[4] & 6:
            name += entry[5:]
        elif tag == b"PX" and len(entry) >= 8:
            mode = struct.unpack_from("<I", entry, 4)[0]
        elif tag == b"CL":
            moved_away = True
    text = (name or _iso_name(identifier)).decode("utf-8", "surrogateescape")
    if text in ("", ".", "..") or "/" in text or "\0" in text:
        raise InputError("bad-iso", f"a directory holds the impossible name {text!r}")
    return _Record(text, _extent(record, walk.size), record[25], mode, moved_away)


def _iso_name(identifier: bytes) -> bytes:
    """A plain ISO 9660 name as Linux shows it: lower case, no version, no dot without extension."""
    return identifier.split(b";")[0].rstrip(b".").lower()


def _susp(walk: _Walk, area: bytes) -> Iterator[tuple[bytes, bytes]]:
    """System Use entries, through their continuation areas."""
    for _ in range(32):
        following: tuple[int, int] | None = None
        at = 0
        while at + 4 <= len(area) and area[at + 2] >= 4:
            entry = area[at : at + area[at + 2]]
            at += area[at + 2]
            if entry[:2] == b"ST":
                break
            if entry[:2] == b"CE" and len(entry) >= 28:
                block, start, length = (struct.unpack_from("<I", entry, field)[0] for field in (4, 12, 20))
                following = (block * SECTOR + start, min(length, SECTOR))
            yield entry[:2], entry
        if following is None:
            return
        position = walk.stream.tell()
        walk.stream.seek(following[0])
        area = walk.stream.read(following[1])
        walk.stream.seek(position)
    raise InputError("bad-iso", "the Rock Ridge entries of a file never end")
