"""Reads an initramfs as the kernel does: one or more archives in a row, each plain or compressed.

Grammar (kernel documentation, driver-api/early-userspace/buffer-format): ``("\\0" | cpio | compressed cpio)*``; a plain
archive begins at a multiple of 4; later members replace earlier ones. An initrd of 150 MB is walked in a few hundred
kilobytes of memory: file contents are skipped as they are unpacked.
"""

from __future__ import annotations

import io
import lzma
import stat
from collections.abc import Callable, Mapping
from typing import BinaryIO

from boinc2docker.errors import InputError
from boinc2docker.formats import compression as decompressors
from boinc2docker.formats import newc
from boinc2docker.formats.compression import BROKEN, Decompressor
from boinc2docker.formats.newc import Entry

CHUNK = 256 * 1024
MAX_UNPACKED = 4 << 30
"""Largest size of an unpacked initramfs, beyond the memory of any host."""

Keep = Callable[[str], bool]


_FORMATS: tuple[tuple[bytes, str, Callable[[], Decompressor] | None], ...] = (
    (b"\x1f\x8b", "gzip", decompressors.Gzip),
    (b"\xfd7zXZ\x00", "xz", decompressors.xz),
    (b"\x5d\x00\x00", "lzma", decompressors.lzma_alone),
    (b"BZh", "bzip2", decompressors.bzip2),
    (b"\x28\xb5\x2f\xfd", "zstd", decompressors.zstandard),
    (b"\x89LZO", "lzo", None),
    (b"\x02\x21\x4c\x18", "lz4", None),
)


class _Reader:
    """Reads the bytes of ``more`` (b"" at the end) in order, with lookahead."""

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._buffer = b""
        self._at = 0
        self.offset = 0

    def peek(self, size: int) -> bytes:
        missing = size - (len(self._buffer) - self._at)
        if missing > 0:
            parts = [self._buffer[self._at :]]
            while missing > 0 and (chunk := self._more()):
                parts.append(chunk)
                missing -= len(chunk)
            self._buffer, self._at = b"".join(parts), 0
        return self._buffer[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        found = self.peek(size)
        self._at += len(found)
        self.offset += len(found)
        return found

    def chunk(self) -> bytes:
        """The buffered bytes; empty only at the end."""
        return self.take(max(len(self._buffer) - self._at, 1))

    def give_back(self, data: bytes) -> None:
        self._buffer = data + self._buffer[self._at :]
        self._at = 0
        self.offset -= len(data)

    def skip(self, size: int) -> bool:
        """Skips ``size`` bytes; False if there are fewer."""
        while size > 0:
            passed = len(self.take(min(size, CHUNK)))
            if not passed:
                return False
            size -= passed
        return True

    def skip_zeros(self) -> None:
        while window := self.peek(4096):
            rest = window.lstrip(b"\0")
            self.take(len(window) - len(rest))
            if rest:
                return


def list_initramfs(data: bytes | BinaryIO, *, keep: Keep | None = None) -> dict[str, Entry]:
    """Every path of an initramfs with its last entry; names relative, without ``./``.

    Contents are left out, but for symlinks' targets and for the names that ``keep`` chooses.
    Raises InputError for what the kernel would not read: unknown or damaged compression, an xz check other than
    CRC32, an archive that ends early or begins off a multiple of 4.
    """
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    source = _Reader(lambda: stream.read(CHUNK))
    found: dict[str, Entry] = {}
    while True:
        source.skip_zeros()
        start = source.peek(6)
        if not start:
            return found
        if start[:1] == b"0":
            if source.offset % 4:
                raise InputError("bad-initramfs", f"an archive begins at byte {source.offset}, no multiple of 4")
            _read_archive(source, found, keep)
        else:
            _read_compressed(source, start, found, keep)


def check_overlay(data: bytes, base: Mapping[str, Entry]) -> list[Entry]:
    """The entries of an overlay, if the kernel would unpack all of it over ``base`` and change nothing else.

    The kernel says nothing about most of these mistakes, so a machine would boot without the agent.
    Raises InputError: misaligned, damaged, without trailer; a file whose directory nobody has; a directory record
    (which would reset mode and owner) for a directory of the base; a file in the place of a directory.
    """
    if len(data) % 4:
        raise InputError("bad-overlay", f"the overlay has {len(data)} bytes, no multiple of 4")
    entries, used = newc.parse(data)
    if data[used:].strip(b"\0"):
        raise InputError("bad-overlay", f"the overlay has {len(data) - used} bytes after its trailer")
    known = {name for name, entry in base.items() if entry.is_directory} | {""}
    for entry in entries:
        parent = entry.name.rpartition("/")[0]
        if parent not in known:
            raise InputError("bad-overlay", f"/{entry.name} has no parent directory in the overlay or the base")
        existing = base.get(entry.name)
        if existing is not None and (existing.is_directory or entry.is_directory):
            kind = "a directory record" if entry.is_directory else "a file"
            there = "a directory" if existing.is_directory else "a file or link"
            raise InputError("bad-overlay", f"the overlay has {kind} for /{entry.name}, {there} of the base")
        if entry.is_directory:
            known.add(entry.name)
    return entries


def _read_compressed(source: _Reader, start: bytes, found: dict[str, Entry], keep: Keep | None) -> None:
    segment = _Segment(source, start)
    inner = _Reader(segment.more)
    while True:
        inner.skip_zeros()
        if not inner.peek(1):
            break
        if inner.offset % 4:
            raise InputError("bad-initramfs", "an archive inside the compressed data begins off a multiple of 4")
        _read_archive(inner, found, keep)
    segment.check()


class _Segment:
    """Decompresses one stream at the beginning of ``source``, and leaves ``source`` after it."""

    def __init__(self, source: _Reader, start: bytes) -> None:
        for magic, name, make in _FORMATS:
            if start.startswith(magic):
                if make is None:
                    raise InputError("bad-initramfs", f"{name}-compressed initramfs archives are not supported")
                self._source, self._name, self._decompressor = source, name, make()
                return
        expected = f"expected an archive or a compressed archive at byte {source.offset}"
        raise InputError("bad-initramfs", f"{expected}, found {start.hex()}")

    def more(self) -> bytes:
        """The next unpacked bytes; b"" at the end."""
        unpacked = b""
        while not unpacked and not self._ended():
            fed = self._source.chunk() if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not fed:
                raise InputError("truncated-initramfs", f"the {self._name} data of an initramfs is truncated")
            try:
                unpacked = self._decompressor.decompress(fed, CHUNK)
            except BROKEN as error:
                raise InputError(
                    "bad-initramfs", f"the {self._name} data of an initramfs is damaged: {error}"
                ) from error
            if self._ended():
                self._source.give_back(self._decompressor.unused_data)
        return unpacked

    def _ended(self) -> bool:
        return self._decompressor.eof

    def check(self) -> None:
        """Raises InputError for a checksum that the kernel does not support, such as Python's default."""
        used = getattr(self._decompressor, "check", None)
        if self._name == "xz" and used not in (lzma.CHECK_CRC32, lzma.CHECK_NONE):
            raise InputError("bad-initramfs", "expected xz data with CRC32 checks, the only ones the kernel supports")


def _read_archive(reader: _Reader, found: dict[str, Entry], keep: Keep | None) -> None:
    while True:
        begin = reader.offset
        header = newc.parse_header(reader.take(newc.HEADER_BYTES), begin)
        name_bytes = header.data_offset - newc.HEADER_BYTES
        name = newc.parse_name(reader.take(name_bytes)[: header.name_bytes], begin)
        padding = header.total_bytes - header.data_offset - header.data_bytes
        if name == newc.TRAILER:
            reader.skip(header.data_bytes + padding)
            return
        if begin + header.total_bytes > MAX_UNPACKED:
            raise InputError("bad-initramfs", f"an initramfs of more than {MAX_UNPACKED >> 30} GiB")
        path = plain_name(name)
        wanted = stat.S_ISLNK(header.mode) or (keep is not None and keep(path))
        body = reader.take(header.data_bytes) if wanted else b""
        whole = len(body) == header.data_bytes if wanted else reader.skip(header.data_bytes)
        if not whole or not reader.skip(padding):
            raise newc.truncated(reader.offset)
        found[path] = Entry(path, header.mode, body, header.rdev_major, header.rdev_minor)


def plain_name(name: str) -> str:
    """A member's path below the root: ``./etc//passwd`` and ``/etc/passwd`` are ``etc/passwd``, ``.`` is empty."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))
