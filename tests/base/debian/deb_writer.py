"""Small ``.deb`` files with whatever is asked for in them, good or bad. Format: deb(5), ar(5)."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = b"", *, mode: int = 0o644, kind: bytes = tarfile.REGTYPE, target: str = "") -> Entry:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.linkname, info.size = mode, kind, target, len(data)
    return info, data


def folder(name: str) -> Entry:
    return entry(name, mode=0o755, kind=tarfile.DIRTYPE)


def write(path: Path, name: str, entries: Iterable[Entry], **fields: str) -> Path:
    """Writes a package with the given data members to ``path``."""
    control = {"Package": name, "Version": "1.0-1", "Architecture": "amd64", "Maintainer": "nobody", **fields}
    text = "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in control.items()).encode()
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": _tar([entry("./control", text)]),
        "data.tar.xz": _tar(entries),
    }
    path.write_bytes(b"!<arch>\n" + b"".join(_ar_member(key, data) for key, data in members.items()))
    return path


def _tar(entries: Iterable[Entry]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz", preset=0) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _ar_member(name: str, data: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    return header + data + b"\n" * (len(data) % 2)
