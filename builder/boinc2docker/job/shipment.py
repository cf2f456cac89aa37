"""How inputs are sent: a file unchanged, a directory as one archive that the machine unpacks.

One file a directory keeps a work unit small; it keeps empty directories and the right to execute, which BOINC drops.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker.digest import Digest
from boinc2docker.formats.gzip_writer import Packer
from boinc2docker.job import inputs
from boinc2docker.job.inputs import Input
from boinc2docker.job.script import Unpacking

_BLOCK = 4096
PLACE = ".boinc2docker"
"""The place of archives in the job's directory."""


@dataclass(frozen=True)
class Shipped:
    """A file of a job: what it holds, and its name below the job's directory. ``unpacks_to`` is for archives, and so is
    ``unpacked``: about how many bytes of a disk it unpacks to."""

    content: Path
    name: str
    unpacks_to: str | None = None
    unpacked: int = 0

    @property
    def unpacking(self) -> Unpacking | None:
        """Its line in ``boinc_app``."""
        return Unpacking(self.name, self.unpacks_to) if self.unpacks_to is not None else None


def ship(one: Input, scratch: Path) -> Shipped:
    """The file to send for an input; a directory's archive is written into ``scratch``. Raises InputError."""
    if not one.source.is_dir():
        [(path, name)] = inputs.files_of(one)
        return Shipped(path, name)
    part = scratch / f"{os.urandom(8).hex()}.part"
    with part.open("wb") as output:
        _pack(one, output.write)
    target = scratch / f"input-{Digest.of_file(part).hex[:16]}.tgz"
    part.replace(target)
    return Shipped(target, f"{PLACE}/{target.name}", one.name, _on_disk(one))


def unpackings(shipped: Iterable[Shipped]) -> list[Unpacking]:
    """The lines of all archives."""
    return [one.unpacking for one in shipped if one.unpacking]


def _on_disk(directory: Input) -> int:
    """Bytes of its files and directories, in blocks of 4 KB."""
    directories = sum(_BLOCK for _ in inputs.directories_of(directory))
    return directories + sum(-(-path.stat().st_size // _BLOCK) * _BLOCK for path, _ in inputs.files_of(directory))


def _pack(directory: Input, sink: Callable[[bytes], object]) -> None:
    """A reproducible archive of the directory: names sorted, no times, owners or unusual modes."""
    with Packer(sink) as packer, tarfile.open(fileobj=_Sink(packer), mode="w|", format=tarfile.GNU_FORMAT) as tar:
        base = len(directory.name) + 1
        entries = {name[base:]: None for name in inputs.directories_of(directory)} | {
            name[base:]: path for path, name in inputs.files_of(directory)
        }
        for name, path in sorted((name, path) for name, path in entries.items() if name):
            _add(tar, name, path)


def _add(tar: tarfile.TarFile, name: str, path: Path | None) -> None:
    member = tarfile.TarInfo(name)
    if path is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return
    with path.open("rb") as stream:
        member.size = os.fstat(stream.fileno()).st_size
        member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
        tar.addfile(member, stream)


class _Sink(io.RawIOBase):
    """Adapts a packer to the file that tarfile writes to."""

    def __init__(self, packer: Packer) -> None:
        self._packer = packer

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._packer.write(raw)
        return len(raw)
