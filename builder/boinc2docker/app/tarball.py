"""A version as one file to carry to a server: an uncompressed tar archive whose bytes depend on the content alone.

Uncompressed because nearly all of it is a compressed ISO already, and because compressors differ between machines.
``tar -xf FILE -C PROJECT`` installs the tree. Format: POSIX.1-1988 ustar.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from boinc2docker import atomic
from boinc2docker.app.tree import Directory, File
from boinc2docker.app.version import Version
from boinc2docker.digest import Digest


def write(target: Path, app: str, version: Version, directories: Sequence[Directory]) -> None:
    """Writes the archive; equal files are stored once and linked. Raises HostError."""
    seen: dict[tuple[Digest, bool], str] = {}
    with atomic.replacing(target) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        for directory in sorted(directories, key=lambda one: one.name):
            for file in sorted(directory.files, key=lambda one: one.name):
                name = f"apps/{app}/{version}/{directory.name}/{file.name}"
                twin = seen.setdefault((file.digest, file.executable), name)
                _add(archive, name, file, None if twin == name else twin)


def _add(archive: tarfile.TarFile, name: str, file: File, twin: str | None) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o755 if file.executable else 0o644
    if twin is not None:
        member.type, member.linkname = tarfile.LNKTYPE, twin
        archive.addfile(member)
    elif isinstance(file.content, bytes):
        member.size = len(file.content)
        archive.addfile(member, io.BytesIO(file.content))
    else:
        member.size = file.content.stat().st_size
        with file.content.open("rb") as stream:
            archive.addfile(member, stream)
