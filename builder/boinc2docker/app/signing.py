"""Signatures of an app version's files, made and checked on a machine without BOINC.

A signature is an RSA private-key operation with PKCS #1 v1.5 padding (block type 1, no DigestInfo) over the 32 ASCII
characters of the file's lower-case hex MD5. MD5 and 1024 bits are weak by today's standards; they are BOINC's format.
Source: BOINC ``tools/sign_executable.cpp``, ``lib/crypt.cpp``.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo

from boinc2docker import atomic, console
from boinc2docker.app.code_key import parse_hex, parse_private, parse_public, render_hex
from boinc2docker.errors import BuilderError, InputError

SUFFIX = ".sig"
UNSIGNED = "version.xml"
"""The one file of a version that BOINC does not publish, and so does not sign."""


@dataclass(frozen=True)
class Checked:
    """A file of a version and its signature: ``ok``, ``missing`` or ``wrong``."""

    path: Path
    state: str


def sign_bytes(md5_hex: str, key: RSAPrivateKey) -> bytes:
    """The signature of a file with this MD5 (lower-case hex)."""
    return key.sign(md5_hex.encode("ascii"), padding.PKCS1v15(), NoDigestInfo())


def signature_holds(md5_hex: str, signature: bytes, key: RSAPublicKey) -> bool:
    """Whether a signature belongs to a file with this MD5 and to this key."""
    try:
        return key.recover_data_from_signature(signature, padding.PKCS1v15(), None) == md5_hex.encode("ascii")
    except (InvalidSignature, ValueError):
        return False


def load_private(path: Path) -> RSAPrivateKey:
    """A private key from a file; warns if others than its owner may read it. Raises InputError."""
    text = _read(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        console.warn(f"{path} may be read by others than its owner; chmod 600 {path}")
    return parse_private(text, str(path))


def load_public(path: Path) -> RSAPublicKey:
    """A public key from a file. Raises InputError."""
    return parse_public(_read(path), str(path))


def signable(directory: Path) -> list[Path]:
    """The files below ``directory`` that need a signature, sorted. Raises InputError if it is not a built version."""
    if not directory.is_dir():
        raise InputError("no-such-directory", f"{directory} is not a directory", hint="expected apps/APP/VERSION")
    versions = sorted(path.parent for path in directory.rglob(UNSIGNED) if not path.parent.name.startswith("."))
    if not versions:
        raise InputError("not-a-version", f"{directory} holds no {UNSIGNED}", hint="make a version with package-app")
    found = [path for folder in versions for path in sorted(folder.iterdir())]
    return [path for path in found if path.is_file() and path.name != UNSIGNED and path.suffix != SUFFIX]


def sign_directory(directory: Path, key: RSAPrivateKey) -> list[Path]:
    """Writes ``<file>.sig`` beside every file of the version; returns the signatures' paths."""
    written = []
    for path in signable(directory):
        target = path.with_name(path.name + SUFFIX)
        atomic.write_text(target, render_hex(sign_bytes(md5_of(path), key)))
        written.append(target)
    return written


def verify_directory(directory: Path, key: RSAPublicKey) -> list[Checked]:
    """The state of every file's signature."""
    return [Checked(path, _state(path, key)) for path in signable(directory)]


def _state(path: Path, key: RSAPublicKey) -> str:
    signature = path.with_name(path.name + SUFFIX)
    try:
        data = parse_hex(signature.read_text(encoding="ascii"), signature.name)
    except FileNotFoundError:
        return "missing"
    except (OSError, UnicodeDecodeError, BuilderError):
        return "wrong"
    return "ok" if signature_holds(md5_of(path), data, key) else "wrong"


def md5_of(content: Path | bytes) -> str:
    """What BOINC signs of a file: its MD5 in hex digits."""
    if isinstance(content, bytes):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise InputError("bad-key", f"{path}: expected a text file, found other bytes") from error
    except OSError as error:
        raise InputError("no-such-file", f"cannot read the key {path}: {error.strerror}") from error
