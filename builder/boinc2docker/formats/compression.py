"""Decompressors with one interface: those of gzip, bzip2, xz, lzma and zstd, whichever Python this is.

Each takes bytes and gives at most ``max_length`` back; while it does not need input it has more to give.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from typing import Protocol, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["BROKEN", "Decompressor", "Gzip", "bzip2", "lzma_alone", "xz", "zstandard", "zstd"]

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
