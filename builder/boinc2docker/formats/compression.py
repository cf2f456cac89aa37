"""Compressions: told apart by their first bytes, and undone with bounded memory.

The decompressors of gzip, bzip2, xz, lzma and zstd have one interface, whichever Python this is: each takes bytes and
returns at most ``max_length``; while it needs no input, it has more to return.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, cast

from boinc2docker.digest import CHUNK
from boinc2docker.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["BROKEN", "MAGIC_BYTES", "Decompressor", "Gzip", "Undo", "bzip2", "chunks", "detect", "lzma_alone", "xz"]
__all__ += ["zstandard", "zstd"]

BROKEN = (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, ValueError, EOFError)
"""What they raise on damaged data."""

WINDOW_LOG = 27
"""128 MiB: the window of ``zstd --long``, the largest that the tools open without being told to."""

XZ_MEMORY = 256 << 20


class Decompressor(Protocol):
    """The interface of ``bz2.BZ2Decompressor``."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Gzip:
    """zlib's decompressor in the manner of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        # A full output buffer may hide more, even when every input byte has been taken.
        return not self._inner.unconsumed_tail and not self._full

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._full = len(piece) == max_length
        return piece


def bzip2() -> Decompressor:
    return bz2.BZ2Decompressor()


def xz() -> Decompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


def lzma_alone() -> Decompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=XZ_MEMORY)


def zstandard() -> Decompressor:
    found = zstd.ZstdDecompressor(options={int(zstd.DecompressionParameter.window_log_max): WINDOW_LOG})
    return cast(Decompressor, found)


MAGIC_BYTES = 6
"""Bytes that ``detect`` needs to see."""


def detect(head: bytes) -> str:
    """``gzip``, ``zstd``, ``xz``, ``bzip2`` or ``none``, from the first ``MAGIC_BYTES`` bytes."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "zstd"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if head.startswith(b"BZh"):
        return "bzip2"
    return "none"


_NEW: Mapping[str, Callable[[], Decompressor]] = {
    "gzip": Gzip,
    "zstd": zstandard,
    "xz": xz,
    "bzip2": bzip2,
}


class Undo:
    """Undoes one compression, piece by piece. Streams that follow each other count as one, as with ``gzip -d``.

    ``feed`` holds at most about a megabyte of output at a time, whatever the input expands to.
    ``what`` names the compressed thing in errors.
    """

    def __init__(self, kind: str, what: str) -> None:
        self._kind, self._what = kind, what
        self._stream: Decompressor | None = None  # None: before, between and after streams
        self._streams = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields what ``data`` decompresses to. Raises InputError for damaged data."""
        if self._kind == "none":
            yield data
            return
        while data or (self._stream is not None and not self._stream.needs_input):
            if self._stream is None:
                # Streams may be padded with zeros up to the block of a tape or disk (gzip and xz both allow it).
                data = data.lstrip(b"\0") if self._streams else data
                if not data:
                    return
                self._stream = _NEW[self._kind]()
                self._streams += 1
            piece = self._step(self._stream, data)
            data = b""
            if self._stream.eof:
                data, self._stream = self._stream.unused_data, None
            if piece:
                yield piece

    def _step(self, stream: Decompressor, data: bytes) -> bytes:
        try:
            return stream.decompress(data, CHUNK)
        except BROKEN as error:
            raise InputError("bad-archive", f"{self._what}: damaged {self._kind} data ({error})") from error

    def close(self) -> None:
        """Raises InputError if the compressed data ended in the middle."""
        if self._kind != "none" and (self._stream is not None or not self._streams):
            raise InputError("bad-archive", f"{self._what}: the {self._kind} data is truncated")


class Readable(Protocol):
    """Anything that bytes are read from."""

    def read(self, amount: int, /) -> bytes: ...


def chunks(stream: Readable) -> Iterator[bytes]:
    """``stream`` in pieces of at most a megabyte."""
    return iter(lambda: stream.read(CHUNK), b"")
