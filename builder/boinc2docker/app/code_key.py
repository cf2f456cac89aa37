"""Code-signing keys and signatures in BOINC's text form.

A key: a line with the bit count, then the C structure's bytes in lower-case hex, 32 bytes a line, then a line ``.``.
Public: modulus, exponent (128 bytes each). Private: modulus, public exponent, exponent (128 each), primes, prime
exponents (2 × 64 each), coefficient (64). A signature: 128 bytes in the same hex form without a bit count. RSA keys of
at most 1024 bits. Source: BOINC ``lib/crypt.h``, ``lib/crypt.cpp`` (``print_key_hex``, ``sscan_hex_data``).
"""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicKey,
    RSAPublicNumbers,
)

from boinc2docker.errors import InputError

MODULUS = 128
PRIME = 64
_PRIVATE = (MODULUS, MODULUS, MODULUS, PRIME, PRIME, PRIME, PRIME, PRIME)
_PUBLIC = (MODULUS, MODULUS)
_HEX_FORM = re.compile(r"((?:[0-9a-fA-F]{2}|\n)+)(?:\.\n?)?\s*")


def parse_private(text: str, name: str) -> RSAPrivateKey:
    """Reads a private key file. Raises InputError that says what it is instead."""
    n, e, d, p, q, dmp1, dmq1, iqmp = _numbers(text, name, _PRIVATE, "private")
    try:
        return RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, RSAPublicNumbers(e, n)).private_key()
    except ValueError as error:
        raise InputError("bad-key", f"{name}: the numbers of this key do not fit together") from error


def parse_public(text: str, name: str) -> RSAPublicKey:
    """Reads a public key file. Raises InputError."""
    n, e = _numbers(text, name, _PUBLIC, "public")
    try:
        return RSAPublicNumbers(e, n).public_key()
    except ValueError as error:
        raise InputError("bad-key", f"{name}: the numbers of this key do not fit together") from error


def render_private(key: RSAPrivateKey) -> str:
    """A private key as BOINC writes it."""
    numbers = key.private_numbers()
    public = numbers.public_numbers
    values = (public.n, public.e, numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    return _render(key.key_size, values, _PRIVATE)


def render_public(key: RSAPublicKey) -> str:
    """A public key as BOINC writes it."""
    numbers = key.public_numbers()
    return _render(key.key_size, (numbers.n, numbers.e), _PUBLIC)


def render_hex(data: bytes) -> str:
    """Bytes as BOINC's ``sprint_hex_data`` writes them: a signature file is this."""
    lines = [data[at : at + 32].hex() for at in range(0, len(data), 32)]
    return "\n".join([*lines, ".", ""])


def parse_hex(text: str, name: str) -> bytes:
    """The bytes of a hex text. Raises InputError."""
    match = _HEX_FORM.fullmatch(text.replace("\r\n", "\n"))
    if match is None:
        raise InputError("bad-hex", f"{name}: expected lines of hex digits and a line with a dot")
    return bytes.fromhex(match[1].replace("\n", ""))


def _render(bits: int, values: tuple[int, ...], widths: tuple[int, ...]) -> str:
    try:
        data = b"".join(value.to_bytes(width, "big") for value, width in zip(values, widths, strict=True))
    except OverflowError as error:
        raise InputError("bad-key", f"BOINC carries RSA keys of at most 1024 bits, found {bits}") from error
    return f"{bits}\n{render_hex(data)}"


def _numbers(text: str, name: str, widths: tuple[int, ...], kind: str) -> list[int]:
    expected = f"{name}: expected BOINC's {kind} code-signing key"
    if "-----BEGIN" in text:
        direction = "priv" if kind == "private" else "pub"
        raise InputError(
            "bad-key", f"{expected}, found a PEM file", hint=f"crypt_prog -convkey o2b {direction} IN OUT converts it"
        )
    first, _, rest = text.replace("\r\n", "\n").partition("\n")
    if not re.fullmatch("[0-9]{3,5}", first):
        raise InputError("bad-key", f"{expected}: its first line is the number of bits, found {first[:40]!r}")
    data = parse_hex(rest, name)
    if len(data) != sum(widths):
        other = {sum(_PRIVATE): "a private key", sum(_PUBLIC): "a public key"}.get(len(data), f"{len(data)} bytes")
        raise InputError("bad-key", f"{expected} of {sum(widths)} bytes, found {other}")
    numbers = []
    for width in widths:
        numbers.append(int.from_bytes(data[:width], "big"))
        data = data[width:]
    if numbers[0].bit_length() > int(first) or not numbers[0]:
        raise InputError("bad-key", f"{expected}: its modulus does not have {first} bits")
    return numbers
