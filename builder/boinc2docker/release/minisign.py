"""Checks minisign's signatures with py-minisign. ``ci/sign`` makes them with minisign itself: no secret key comes here.

Format: https://jedisct1.github.io/minisign/, "Signature format" and "Public key format". Stricter than minisign: only
prehashed signatures count (BLAKE2b-512, minisign's default since 0.10), both comments are fixed, and a signature or key
has one form, to the byte.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import minisign

from boinc2docker.errors import InputError, VerificationError


@dataclass(frozen=True)
class PublicKey:
    """A public key. ``number`` identifies it as minisign does: in hexadecimal, without leading zeros."""

    number: str
    key: minisign.PublicKey

    def text(self) -> str:
        """The key as ``minisign -R`` writes it."""
        return f"untrusted comment: minisign public key {self.number}\n{self.key.to_base64().decode()}\n"


def parse_key(text: str) -> PublicKey:
    """Reads the content of a ``.pub`` file, or its second line alone. Raises InputError."""
    line = (text.strip().splitlines() or [""])[-1]
    try:
        key = minisign.PublicKey.from_base64(line)
    except ValueError as error:
        raise InputError("bad-key", f"expected a minisign public key, found {line[:60]!a}: {error}") from error
    if key.to_base64().decode() != line:
        raise InputError("bad-key", f"expected a minisign public key in canonical base64, found {line[:60]!a}")
    number = int.from_bytes(base64.b64decode(line)[2:10], "little")
    return PublicKey(f"{number:X}", key)


def read_key(given: str) -> PublicKey:
    """Reads a key from the command line: the path of a ``.pub`` file, or the key itself. Raises InputError."""
    path = Path(given)
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else given
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("bad-key", f"cannot read the key {given}: {error}") from error
    return parse_key(text)


def verify(signed: bytes, signature: str, key: PublicKey, comment: str) -> None:
    """Raises VerificationError unless ``signature`` is the one that ``key`` makes of ``signed`` with ``comment``.

    The untrusted comment, which minisign does not protect, has to be ``comment`` too.
    """
    data = signature.encode()
    try:
        parsed = minisign.Signature.from_bytes(data)
    except ValueError as error:
        raise VerificationError("bad-signature", f"expected a minisign signature: {error}") from error
    if bytes(parsed) + b"\n" != data:
        raise VerificationError("bad-signature", "expected a minisign signature as minisign writes it")
    if (parsed.untrusted_comment, parsed.trusted_comment) != (comment, comment):
        raise VerificationError("bad-signature", f"expected the comment {comment!r}")
    if not parsed.is_prehashed():
        raise VerificationError("bad-signature", "expected a prehashed signature")
    try:
        key.key.verify(signed, parsed)
    except ValueError as error:
        raise VerificationError(
            "bad-signature", f"it is not by the key {key.number}, or the file was changed"
        ) from error
