"""Compressing layers: the same bytes on any machine with the same zlib, on all cores, in bounded memory.

The output is a row of gzip members (RFC 1952, 2.2: "simply appear one after another"), one for each ``BLOCK`` bytes of
input, which is why any number of threads makes the same bytes. Docker, Go, gzip and busybox read them as one stream.
The header is written here: no name, no time, no system, where libraries would put their own. zlib's output may differ
between versions of zlib, and zlib-ng's does: then the layer has another name, and is otherwise as good.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

BLOCK = 1 << 20
"""Bytes of input in a member. Smaller ones compress worse, larger ones leave cores idle at the ends of small layers."""
LEVEL = 6
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_MOST_THREADS = 32


def member(data: bytes) -> bytes:
    """``data`` as one gzip member."""
    squeeze = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = squeeze.compress(data) + squeeze.flush()
    return _HEADER + body + struct.pack("<II", zlib.crc32(data), len(data))


class Packer:
    """Takes pieces of any size, hands compressed ones to ``sink`` in order. ``close`` (or ``with``) ends the stream.

    Holds two blocks a thread. ``threads`` is for tests; the bytes do not depend on it.
    """

    def __init__(self, sink: Callable[[bytes], object], *, threads: int | None = None) -> None:
        self._sink = sink
        self._threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pack")
        self._buffer = bytearray()
        self._started = False
        self._pending: deque[Future[bytes]] = deque()

    def write(self, data: bytes) -> None:
        """Raises what ``sink`` raises."""
        self._buffer += data
        while len(self._buffer) >= BLOCK:
            self._start(bytes(self._buffer[:BLOCK]))
            del self._buffer[:BLOCK]

    def close(self) -> None:
        """Compresses what is left. Even nothing at all becomes a member: an empty file is no gzip."""
        if self._buffer or not self._started:
            self._start(bytes(self._buffer))
            self._buffer.clear()
        while self._pending:
            self._sink(self._pending.popleft().result())

    def _start(self, block: bytes) -> None:
        self._started = True
        if len(self._pending) >= 2 * self._threads:
            self._sink(self._pending.popleft().result())
        self._pending.append(self._pool.submit(member, block))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_ending: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._pool.shutdown(cancel_futures=True)
