"""The cpio "newc" format, as the Linux kernel reads initramfs archives.

Source: kernel documentation, driver-api/early-userspace/buffer-format, and the limits of ``init/initramfs.c``: a member
is a header of 110 ASCII characters, the name with its NUL and the data, both padded to 4 bytes; the archive ends with a
member named ``TRAILER!!!``. What the kernel would skip without a word is refused here, when writing.

Names are ``str``; bytes that are not UTF-8 travel as surrogate escapes, so that every name of an archive survives.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace

from boinc2docker.errors import InputError

HEADER_BYTES = 110
PATH_MAX = 4096
"""The kernel skips longer names (with their NUL) and longer symlink targets."""
TRAILER = "TRAILER!!!"

_FIELDS = 13
_HEADER = re.compile(rb"07070([12])([0-9A-Fa-f]{104})")
_WORD = 0xFFFFFFFF
_WITH_DATA = (stat.S_IFREG, stat.S_IFLNK)
_TYPES = (*_WITH_DATA, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)


@dataclass(frozen=True)
class Entry:
    """A member of an archive.

    ``name`` is relative, ``mode`` has its file type bits, ``data`` is a file's content or a symlink's target.
    """

    name: str
    mode: int
    data: bytes = b""
    rdev_major: int = 0
    rdev_minor: int = 0

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True)
class Header:
    """The fields of a member's header, in their order; ``checksum`` is of "crc" archives (070702), else -1."""

    inode: int
    mode: int
    uid: int
    gid: int
    links: int
    mtime: int
    data_bytes: int
    device_major: int
    device_minor: int
    rdev_major: int
    rdev_minor: int
    name_bytes: int
    checksum: int

    @property
    def data_offset(self) -> int:
        """Where the data begins, counted from the header."""
        return _aligned(HEADER_BYTES + self.name_bytes)

    @property
    def total_bytes(self) -> int:
        """Length of the whole member, to the next header."""
        return self.data_offset + _aligned(self.data_bytes)


def directory(name: str, mode: int = 0o755) -> Entry:
    """A directory; the kernel gives an existing one this mode."""
    return Entry(name, stat.S_IFDIR | mode)


def regular(name: str, data: bytes, mode: int = 0o644) -> Entry:
    """A file."""
    return Entry(name, stat.S_IFREG | mode, data)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link to ``target``, which is kept as it is."""
    return Entry(name, stat.S_IFLNK | 0o777, encoded(target))


def character_device(name: str, mode: int, major: int, minor: int) -> Entry:
    """A character device node."""
    return Entry(name, stat.S_IFCHR | mode, b"", major, minor)


def encoded(text: str) -> bytes:
    """The bytes of a name or target in an archive."""
    return text.encode("utf-8", "surrogateescape")


def archive(entries: Iterable[Entry], *, mtime: int = 0) -> bytes:
    """An archive of ``entries``, sorted by name, owned by root, every time stamp ``mtime`` (seconds).

    The same entries give the same bytes, in whatever order they come; the length is a multiple of 4.
    Raises InputError for a name that is absolute, leaves the tree, appears twice or is too long, and for fields that
    do not fit.
    """
    if not 0 <= mtime <= _WORD:
        raise InputError("bad-archive-entry", f"a time stamp must fit in 32 bits, found {mtime}")
    members = sorted(entries, key=lambda entry: encoded(entry.name))
    for before, entry in zip([None, *members], members, strict=False):
        _check(entry)
        if before is not None and before.name == entry.name:
            raise InputError("bad-archive-entry", f"{entry.name!r} appears twice in an archive")
    parts = [_member(entry, inode, mtime) for inode, entry in enumerate(members, start=1)]
    parts.append(_member(Entry(TRAILER, 0), 0, 0))
    return b"".join(parts)


def parse(data: bytes) -> tuple[list[Entry], int]:
    """The members of the archive at the beginning of ``data``, as named there, and the bytes it takes with its trailer.

    Hard links all carry the data. Raises InputError for what is no archive, is damaged or ends without its trailer.
    """
    found: list[tuple[Header, Entry]] = []
    offset = 0
    while True:
        header = parse_header(data[offset : offset + HEADER_BYTES], offset)
        end = offset + header.data_offset + header.data_bytes
        if end > len(data):
            raise truncated(len(data))
        name = parse_name(data[offset + HEADER_BYTES : offset + HEADER_BYTES + header.name_bytes], offset)
        body = data[offset + header.data_offset : end]
        offset += header.total_bytes
        if name == TRAILER:
            return _with_links(found), min(offset, len(data))
        if header.checksum >= 0 and sum(body) & _WORD != header.checksum:
            raise InputError("bad-archive", f"the checksum of {name!r} in a cpio archive does not hold")
        found.append((header, Entry(name, header.mode, body, header.rdev_major, header.rdev_minor)))


def parse_header(data: bytes, offset: int = 0) -> Header:
    """The header in the first 110 bytes of ``data``; ``offset`` is only for the message. Raises InputError."""
    if len(data) < HEADER_BYTES and b"070701".startswith(data[:6]):
        raise truncated(offset + len(data))
    match = _HEADER.fullmatch(data[:HEADER_BYTES])
    if match is None:
        raise InputError("bad-archive", f"expected a cpio newc header at byte {offset}, found {bytes(data[:12])!r}")
    digits = match[2]
    values = [int(digits[8 * at : 8 * at + 8], 16) for at in range(_FIELDS)]
    values[-1] = values[-1] if match[1] == b"2" else -1
    header = Header(*values)
    if not 1 < header.name_bytes <= PATH_MAX:
        raise InputError("bad-archive", f"a name of {header.name_bytes} bytes at byte {offset} of a cpio archive")
    return header


def parse_name(data: bytes, offset: int = 0) -> str:
    """A member's name out of its bytes with the NUL. Raises InputError if the NUL is not at the end."""
    if data.find(b"\0") != len(data) - 1:
        raise InputError("bad-archive", f"a name at byte {offset} of a cpio archive does not end with its NUL")
    return data[:-1].decode("utf-8", "surrogateescape")


def truncated(size: int) -> InputError:
    """The error for an archive that ends before its trailer."""
    return InputError("truncated-archive", f"a cpio archive ends after {size} bytes, without its trailer")


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def _member(entry: Entry, inode: int, mtime: int) -> bytes:
    name = encoded(entry.name) + b"\0"
    trailer = entry.name == TRAILER
    links = 2 if entry.is_directory else 1
    fields = (inode, entry.mode, 0, 0, links, 0 if trailer else mtime, len(entry.data), 0, 0)
    header = b"070701" + b"".join(
        b"%08X" % field for field in (*fields, entry.rdev_major, entry.rdev_minor, len(name), 0)
    )
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(_aligned(len(data)) - len(data))


def _check(entry: Entry) -> None:
    problem = _name_problem(entry.name) or _content_problem(entry)
    if problem:
        raise InputError("bad-archive-entry", f"cannot put {entry.name[:200]!r} into an archive: {problem}")


def _name_problem(name: str) -> str | None:
    if name.startswith("/"):
        return "the name must be relative"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "the name has an empty, '.' or '..' component"
    if "\0" in name:
        return "the name holds a NUL"
    if name == TRAILER:
        return "this name ends an archive"
    if len(encoded(name)) >= PATH_MAX:
        return f"the name is longer than {PATH_MAX - 1} bytes"
    return None


def _content_problem(entry: Entry) -> str | None:
    kind = stat.S_IFMT(entry.mode)
    if kind not in _TYPES or not 0 <= entry.mode <= 0xFFFF:
        return f"mode {entry.mode:o} names no type of file"
    if entry.data and kind not in _WITH_DATA:
        return "only files and symbolic links have data"
    if kind == stat.S_IFLNK and (not 0 < len(entry.data) < PATH_MAX or b"\0" in entry.data):
        return f"a symbolic link's target has 1 to {PATH_MAX - 1} bytes and no NUL"
    if len(entry.data) > _WORD:
        return "more than 4 GiB"
    if not (0 <= entry.rdev_major <= _WORD and 0 <= entry.rdev_minor <= _WORD):
        return "a device number must fit in 32 bits"
    return None


def _with_links(found: list[tuple[Header, Entry]]) -> list[Entry]:
    """Gives every name of a hard-linked file the data, which newc writers store with one of them only."""
    bodies: dict[tuple[int, int, int], bytes] = {}
    for header, entry in found:
        if header.links > 1 and stat.S_ISREG(entry.mode) and entry.data:
            bodies[header.inode, header.device_major, header.device_minor] = entry.data
    return [
        replace(entry, data=bodies.get((header.inode, header.device_major, header.device_minor), b""))
        if header.links > 1 and stat.S_ISREG(entry.mode) and not entry.data
        else entry
        for header, entry in found
    ]
