"""A gzip file as a forward-only stream, and a tar archive in it, that a hostile one cannot blow up.

Formats: RFC 1952; POSIX pax and GNU tar, parsed by ``tarfile``. Memory is bounded by construction: at most one piece of
input and what one ``read`` asks for, and the headers of one member.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from boinc2docker.errors import BuilderError, InputError

PIECE = 1 << 16
HEADER_BYTES = 1 << 20
_DIGITS = re.compile(rb"[0-9]+")
_MOST_DIGITS = 300
"""In a row, in a header. tarfile before Python 3.11.10 takes time by the square of that for a pax header."""
RATIO_GRACE = 16 << 20
"""Bytes any archive may unpack to before its ratio counts: small files of zeros are no bomb."""


class UnreadableError(BuilderError):
    """A file cannot be read now: the server's fault or a passing one, never the result's."""


def malformed(message: str) -> InputError:
    """The archive is not one: for a validator the result is invalid, for an assimilator it goes to ``failed/``."""
    return InputError("bad-archive", message)


def too_much(message: str) -> InputError:
    """The archive is well-formed, and more than the limits of app.toml allow."""
    return InputError("archive-too-large", message, hint="the limits are in app.toml under [results.limits]")


class BoundedGzip:
    """What ``tarfile`` needs of a file: ``read``, ``tell`` and ``seek`` forwards.

    ``budget`` bounds the bytes of headers until ``refill``: tarfile reads a header of any announced size into memory.
    Raises InputError for damaged or excessive input and UnreadableError if the file itself fails.
    """

    def __init__(self, source: BinaryIO, *, bytes_limit: int, ratio_limit: int) -> None:
        self._source, self._bytes_limit, self._ratio_limit = source, bytes_limit, ratio_limit
        self._decoder = zlib.decompressobj(wbits=31)
        self._input = b""
        self._members = 0
        self._taken = 0
        self._position = 0
        self.budget: int | None = None
        self.last_block = b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        """Forwards only: an archive that leads back would lead round for ever."""
        if position < self._position:
            raise malformed(f"the archive points back from byte {self._position} to {position}")
        while self._position < position:
            if not self._some(min(position - self._position, PIECE)):
                break
        return self._position

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; less only at the end."""
        if self.budget is not None:
            self.budget -= size
            if size < 0 or self.budget < 0:
                raise too_much("the headers of one archive member take more than 1 MB")
        pieces = []
        while size > 0:
            piece = self._some(min(size, PIECE))
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.last_block = data[-512:]
        if self.budget is not None and any(len(found) > _MOST_DIGITS for found in _DIGITS.findall(data)):
            raise malformed("a header of the archive has a number of more than 300 digits")
        return data

    def finish(self) -> None:
        """Reads to the end: only zeros may follow, and every checksum must hold."""
        while piece := self._some(PIECE):
            if piece.strip(b"\0"):
                raise malformed("there is something after the end of the archive")

    def _some(self, size: int) -> bytes:
        while True:
            if self._decoder.eof and not self._next_member():
                return b""
            try:
                data = self._decoder.decompress(self._input, size)
            except zlib.error as error:
                raise malformed(f"the archive is damaged near byte {self._taken}: {error}") from error
            self._input = self._decoder.unconsumed_tail
            if data:
                self._count(len(data))
                return data
            if self._decoder.eof:
                self._input = self._decoder.unused_data
            elif not self._input:
                self._input = self._fill()
                if not self._input:
                    raise malformed("the archive is cut off" if self._taken else "the archive is empty")

    def _next_member(self) -> bool:
        """Begins the next gzip member, if another follows; zeros after the last one are padding."""
        while True:
            self._input = self._decoder.unused_data if not self._input else self._input
            self._input = self._input.lstrip(b"\0") or self._fill()
            if not self._input:
                return False
            if self._input.strip(b"\0"):
                break
        self._members += 1
        if self._members > 1000:
            raise malformed("the archive has more than 1000 gzip members")
        self._input = self._input.lstrip(b"\0")
        self._decoder = zlib.decompressobj(wbits=31)
        return True

    def _fill(self) -> bytes:
        try:
            data = self._source.read(PIECE)
        except OSError as error:
            raise UnreadableError("unreadable", f"the archive cannot be read now: {error.strerror or error}") from error
        self._taken += len(data)
        return data

    def _count(self, amount: int) -> None:
        self._position += amount
        if self._position > self._bytes_limit:
            raise too_much(f"the archive unpacks to more than {self._bytes_limit} bytes")
        if self._position > RATIO_GRACE and self._position > self._ratio_limit * self._taken:
            raise too_much(f"the archive unpacks to more than {self._ratio_limit} times its size")


class BoundedTar(tarfile.TarFile):
    """The archive in ``stream``: its headers within ``HEADER_BYTES`` a member, of which it keeps none.

    So ``getmembers`` is empty, and headers for all later members (of pax) hold for the next one only. Raises InputError
    for headers that are damaged or too long.
    """

    def __init__(self, stream: BoundedGzip) -> None:
        self._stream = stream
        # tarfile wants a whole BinaryIO and uses read, seek and tell of it.
        super().__init__(fileobj=cast(Any, stream), mode="r")

    def next(self) -> tarfile.TarInfo | None:
        """The next member, its content unread; None at the end."""
        self._stream.budget = HEADER_BYTES
        try:
            with _hostile():
                return super().next()
        finally:
            self._stream.budget = None
            self.members: list[tarfile.TarInfo] = []
            self.pax_headers = {}


@contextmanager
def _hostile() -> Iterator[None]:
    """Whatever tarfile makes of damaged headers is one thing to us; its parser leaks many kinds of errors."""
    try:
        yield
    except BuilderError:
        raise
    except Exception as error:
        raise malformed(f"this is no tar archive: {ascii(str(error))[1:200]}") from error
