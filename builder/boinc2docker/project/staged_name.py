"""How staged files are called, and the ``.md5`` beside each. Pure, but for reading one.

A name is ``b2d_KIND_SHA256``, perhaps with ``.xml``: the same name is the same bytes, for ever. BOINC reads the MD5 and
the size of a download file from ``NAME.md5`` if that is not older than the file: one line, ``MD5 SIZE``, the size as
whole number or as C's ``%f`` or ``%e``. Source: BOINC ``tools/process_input_template.cpp``, ``lib/md5_file.cpp``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.digest import Digest

_NAME = re.compile(r"b2d_([a-z]+)_([0-9a-f]{64})(?:\.xml)?")
_INSIDE = re.compile(_NAME.pattern.encode().replace(b"(", b"(?:").replace(b"(?:?:", b"(?:"))
_MD5 = re.compile(rb"([0-9a-f]{32}) ([0-9][0-9.e+]*)\n")


def staged_name(kind: str, digest: Digest, suffix: str = "") -> str:
    """The name of a file with this content; ``kind`` are lower-case letters, ``suffix`` is "" or ``.xml``."""
    return f"b2d_{kind}_{digest.hex}{suffix}"


def kind_of(name: str) -> str | None:
    """``layer``, ``config``, ``app``, ``vbox`` or ``input``; None for what is no staged file's name."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def digest_of(name: str) -> str | None:
    """The SHA-256 that the name promises; None for what is no staged file's name."""
    match = _NAME.fullmatch(name)
    return match[2] if match else None


def names_in(document: bytes) -> set[str]:
    """All staged files' names in an XML document of BOINC's."""
    return {name.decode() for name in _INSIDE.findall(document)}


@dataclass(frozen=True)
class Md5:
    """What a ``.md5`` says: the MD5 in hex digits, and the size in bytes."""

    digest: str
    size: float

    def render(self) -> bytes:
        return f"{self.digest} {self.size:.0f}\n".encode()


def md5_path(path: Path) -> Path:
    """Where the ``.md5`` of a file lies."""
    return path.with_name(f"{path.name}.md5")


def read_md5(path: Path) -> Md5 | None:
    """What the ``.md5`` of the file at ``path`` says; None if BOINC would not understand it. Raises OSError."""
    match = _MD5.fullmatch(md5_path(path).read_bytes())
    try:
        return Md5(match[1].decode(), float(match[2])) if match else None
    except ValueError:
        return None
