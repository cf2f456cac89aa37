"""Checking signatures of minisign; they are made by ``ci/sign`` with minisign itself, so no secret key comes here.

Format: https://jedisct1.github.io/minisign/, "Signature format" and "Public key format". Only prehashed signatures
(BLAKE2b-512, the default since minisign 0.10) are accepted. Ed25519 is the library ``cryptography``'s.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from boinc2docker.errors import InputError, VerificationError

_UNTRUSTED = "untrusted comment: "
_TRUSTED = "trusted comment: "
_KEY_BYTES = 2 + 8 + 32
_SIGNATURE_BYTES = 2 + 8 + 64


@dataclass(frozen=True)
class PublicKey:
    """A public key; ``number`` tells keys apart, as hexadecimal digits."""

    number: str
    key: bytes

    def text(self) -> str:
        """The key as ``minisign -R`` writes it."""
        number = int(self.number, 16).to_bytes(8, "little")
        encoded = base64.b64encode(b"Ed" + number + self.key).decode()
        return f"{_UNTRUSTED}minisign public key {self.number}\n{encoded}\n"


def parse_key(text: str) -> PublicKey:
    """A public key: the content of a ``.pub`` file, or its second line alone. Raises InputError."""
    data = _decoded(text.strip().splitlines()[-1] if text.strip() else "", _KEY_BYTES, "a minisign public key")
    if data[:2] != b"Ed":
        raise InputError("bad-key", "expected an Ed25519 public key of minisign")
    return PublicKey(_number(data[2:10]), data[10:])


def verify(signed: bytes, signature: str, key: PublicKey, comment: str) -> None:
    """Raises VerificationError unless ``signature`` is what ``key`` and ``comment`` make of ``signed``, to the byte.

    The untrusted comment, which minisign does not protect, has to be ``comment`` too.
    """
    lines = signature.splitlines()
    expected = [f"{_UNTRUSTED}{comment}", None, f"{_TRUSTED}{comment}", None]
    if len(lines) != 4 or signature != "\n".join(lines) + "\n":
        raise VerificationError("bad-signature", "expected the four lines of a minisign signature")
    if any(want is not None and want != line for want, line in zip(expected, lines, strict=True)):
        raise VerificationError("bad-signature", f"expected the comment {comment!r}")
    try:
        first = _decoded(lines[1], _SIGNATURE_BYTES, "a signature")
        second = _decoded(lines[3], 64, "a signature of the comment")
    except InputError as error:
        raise VerificationError("bad-signature", error.message) from error
    number = _number(first[2:10])
    if first[:2] != b"ED" or number != key.number:
        raise VerificationError("bad-signature", f"expected a prehashed signature by the key {key.number}")
    public = Ed25519PublicKey.from_public_bytes(key.key)
    try:
        public.verify(first[10:], hashlib.blake2b(signed).digest())
        public.verify(second, first[10:] + comment.encode())
    except InvalidSignature:
        raise VerificationError(
            "bad-signature", f"it is not by the key {key.number}, or what it signs was changed"
        ) from None


def read_key(given: str) -> PublicKey:
    """A key from the command line: the path of a ``.pub`` file, or the key's text. Raises InputError."""
    path = Path(given)
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else given
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("bad-key", f"cannot read the key {given}: {error}") from error
    return parse_key(text)


def _number(data: bytes) -> str:
    """A key's number as minisign shows it: hexadecimal without leading zeros."""
    return f"{int.from_bytes(data, 'little'):X}"


def _decoded(text: str, size: int, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("bad-base64", f"{what}: expected base64, found {text[:20]!r}") from error
    if len(data) != size or base64.b64encode(data).decode() != text:
        raise InputError("bad-base64", f"{what}: expected {size} bytes in base64, found {text[:20]!r}")
    return data
