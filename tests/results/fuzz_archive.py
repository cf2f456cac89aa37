"""Coverage-guided fuzzing of the archive reader with Atheris: ``python -m tests.results.fuzz_archive [words] CORPUS``.

The words are libFuzzer's. The fuzzer sees the tar, not its compression, whose checksums it could never hit; the first
byte chooses whether headers get their checksums mended, and whether the bytes are an archive as they are.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tarfile", "boinc2docker.results", "boinc2docker.results.archive"]):
    from tests.results.test_archive import SEEDS, survive

MENDED, PLAIN, RAW = 0, 1, 2


def mended(data: bytes) -> bytes:
    """The tar with the checksum of every header made right, as far as sizes lead from one to the next."""
    found = bytearray(data)
    place = 0
    while place + 512 <= len(found):
        block = bytes(found[place : place + 148]) + b" " * 8 + bytes(found[place + 156 : place + 512])
        if block.strip(b"\0 "):
            found[place + 148 : place + 156] = b"%06o\0 " % sum(block)
        digits = block[124:135].strip(b"\0 ")
        size = int(digits, 8) if digits and not digits.strip(b"01234567") else 0
        place += 512 + -(-size // 512) * 512
    return bytes(found)


def one(data: bytes) -> None:
    """What the fuzzer calls; anything raised is a find."""
    kind, body = (data[0] % 3, data[1:]) if data else (RAW, b"")
    survive(body if kind == RAW else gzip.compress(mended(body) if kind == MENDED else body, 1, mtime=0))


def write_corpus(directory: Path) -> None:
    """The seeds of the other tests, as files for the fuzzer to begin with."""
    for number, seed in enumerate(SEEDS):
        (directory / f"mended-{number}").write_bytes(bytes([MENDED]) + seed)
    (directory / "raw").write_bytes(bytes([RAW]) + gzip.compress(SEEDS[0], mtime=0))


if __name__ == "__main__":
    write_corpus(Path(sys.argv[-1]))
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
