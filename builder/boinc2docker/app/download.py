"""A project's download directory: what a version publishes lies there, whole, before ``update_versions`` runs.

That program copies with ``cp``, takes no notice if it fails, and says "added successfully" of a torn file, under a name
that may never get other content. So it shall find every file there already, and only compare.
"""

from __future__ import annotations

import enum
import shutil
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from boinc2docker import atomic
from boinc2docker.app.signing import SUFFIX, UNSIGNED
from boinc2docker.app.tree import Directory, File
from boinc2docker.digest import Digest
from boinc2docker.errors import HostError, InputError
from boinc2docker.project.project import Project

_CHUNK = 1 << 20


class State(enum.Enum):
    """What lies under a file's name: nothing, the first part of the file, the file, or something else."""

    ABSENT = enum.auto()
    UNFINISHED = enum.auto()
    WHOLE = enum.auto()
    OTHER = enum.auto()


def state(path: Path, file: File) -> State:
    """Raises InputError if ``path`` cannot be read."""
    try:
        if not path.is_file():
            return State.ABSENT
        size, wanted = path.stat().st_size, _size(file)
        if size == wanted:
            return State.WHOLE if Digest.of_file(path) == file.digest else State.OTHER
        return State.UNFINISHED if size < wanted and _begins_with(file, path) else State.OTHER
    except OSError as error:
        raise InputError("bad-project-file", f"cannot read {error.filename or path}: {error.strerror}") from error


def require_publishable(project: Project, directories: Sequence[Directory]) -> list[Path]:
    """The copies of the version's files that were interrupted.

    Raises InputError if another file has one of the names, which are immutable; HostError if the disk has no
    room for the missing files.
    """
    found = {file.name: (file, state(project.download / file.name, file)) for file in _files(directories)}
    for name, (file, what) in found.items():
        if what is State.OTHER:
            path = project.download / name
            hint = "a vboxwrapper of your own needs a number of its own in its name"
            if file.digest.hex[:12] in name:
                hint = f"its name tells its content, so that copy is damaged: rm {path}, and run this again"
            message = f"{path} is published with other content, and BOINC's file names are immutable"
            raise InputError("name-taken", message, hint=hint)
    lacking = sum(_size(file) for file, what in found.values() if what is not State.WHOLE)
    free = shutil.disk_usage(project.download if project.download.is_dir() else project.root).free
    if lacking > free:
        message = f"{project.download} lacks room: the version has {lacking / 1e6:.1f} MB, {free / 1e6:.1f} MB are free"
        raise HostError("disk-full", message, hint="free some room and run it again")
    return [project.download / name for name, (_, what) in found.items() if what is State.UNFINISHED]


def publish(project: Project, directories: Sequence[Directory]) -> Iterator[Path]:
    """Puts there what is not, each file wholly or not at all, and yields its path; completes interrupted copies.

    Raises HostError.
    """
    for file in _files(directories):
        target = project.download / file.name
        before = state(target, file)
        if before not in (State.ABSENT, State.UNFINISHED):
            continue
        with atomic.replacing(target, mode=0o755 if file.executable else 0o644) as temporary:
            with _opened(file) as source, temporary.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK)
            if Digest.of_file(temporary) != file.digest:
                raise InputError("changed-meanwhile", f"{file.name} changed while it was copied", hint="run it again")
        if before is State.ABSENT:
            yield target


def first_wrong(project: Project, directory: Directory) -> Path | None:
    """A file of the version that is not published with its bytes, or None."""
    paths = ((project.download / file.name, file) for file in _files([directory]))
    return next((path for path, file in paths if state(path, file) is not State.WHOLE), None)


def _files(directories: Sequence[Directory]) -> list[File]:
    """What is published of a version, each file once."""
    plain = {file.name: file for one in directories for file in one.files if not file.name.endswith(SUFFIX)}
    return [file for name, file in sorted(plain.items()) if name != UNSIGNED]


def _size(file: File) -> int:
    return len(file.content) if isinstance(file.content, bytes) else file.content.stat().st_size


def _opened(file: File) -> BinaryIO:
    return BytesIO(file.content) if isinstance(file.content, bytes) else file.content.open("rb")


def _begins_with(file: File, path: Path) -> bool:
    with _opened(file) as whole, path.open("rb") as part:
        while chunk := part.read(_CHUNK):
            if whole.read(len(chunk)) != chunk:
                return False
    return True
