"""SHA-256 digests as a type of their own, so that one is never mistaken for a name or a path."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from boinc2docker.errors import InputError, VerificationError

_HEX = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20
"""Bytes read at a time wherever a file of unknown size is walked."""


@dataclass(frozen=True, order=True)
class Digest:
    """A SHA-256 digest; ``str()`` gives the OCI form ``sha256:<hex>``.

    Form: OCI image specification, descriptor.md, "Digests".
    """

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise InputError(
                "bad-digest",
                f"expected a SHA-256 digest of 64 lower-case hex digits, found {self.hex[:80]!r}",
            )

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Reads ``sha256:<hex>`` or bare hex, upper or lower case. Raises InputError."""
        return cls(text.strip().removeprefix("sha256:").lower())

    @classmethod
    def of(cls, data: bytes) -> Digest:
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_chunks(cls, chunks: Iterable[bytes]) -> Digest:
        state = hashlib.sha256()
        for chunk in chunks:
            state.update(chunk)
        return cls(state.hexdigest())

    @classmethod
    def of_stream(cls, stream: BinaryIO) -> Digest:
        """The digest of what is left of ``stream``, read in chunks."""
        return cls.of_chunks(iter(lambda: stream.read(CHUNK), b""))

    @classmethod
    def of_file(cls, path: Path) -> Digest:
        with path.open("rb") as stream:
            return cls.of_stream(stream)

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


def require(expected: Digest, found: Digest, what: str, *, hint: str | None = None) -> None:
    """Raises VerificationError unless both digests are the same; ``what`` names the thing to the user."""
    if expected != found:
        raise VerificationError(
            "wrong-digest",
            f"{what}: expected {expected}, found {found}",
            hint=hint,
        )
