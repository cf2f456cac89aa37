"""Telling compressions apart by their first bytes, and undoing them with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from boinc2docker.digest import CHUNK
from boinc2docker.errors import InputError
from boinc2docker.formats import compression as decompressors
from boinc2docker.formats.compression import BROKEN, Decompressor

MAGIC_BYTES = 6
"""How many bytes ``detect`` wants to see."""


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
    "gzip": decompressors.Gzip,
    "zstd": decompressors.zstandard,
    "xz": decompressors.xz,
    "bzip2": decompressors.bzip2,
}


class Undo:
    """Undoes one compression, piece by piece. Several streams one after the other are one, as with ``gzip -d``.

    ``feed`` never holds more than about a megabyte of output at once, whatever the input expands to.
    ``what`` names the compressed thing in errors.
    """

    def __init__(self, kind: str, what: str) -> None:
        self._kind, self._what = kind, what
        self._stream: Decompressor | None = None  # None: before, between and after streams
        self._streams = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields what ``data`` decompresses to. Raises InputError if it cannot."""
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
        """Raises InputError if the compressed data stopped in the middle."""
        if self._kind != "none" and (self._stream is not None or not self._streams):
            raise InputError("bad-archive", f"{self._what}: the {self._kind} data ends too early; it is truncated")


class Readable(Protocol):
    """Anything bytes are read from."""

    def read(self, amount: int, /) -> bytes: ...


def chunks(stream: Readable) -> Iterator[bytes]:
    """``stream`` in pieces of at most a megabyte."""
    return iter(lambda: stream.read(CHUNK), b"")
