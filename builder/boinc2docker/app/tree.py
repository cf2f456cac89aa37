"""The files of a version as BOINC's server wants them: ``apps/APP/VERSION/PLATFORM__CLASS/``.

BOINC publishes whatever lies in such a directory, under its own name and for ever: so nothing else may be there, and
new content needs a new name. Source: BOINC ``tools/update_versions``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import atomic, leftovers
from boinc2docker.app.signing import SUFFIX
from boinc2docker.app.version import Version, directory_number
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError


@dataclass(frozen=True)
class File:
    """A file of a version: its bytes or where they are."""

    name: str
    content: Path | bytes
    digest: Digest
    executable: bool = False

    @classmethod
    def of_bytes(cls, name: str, data: bytes) -> File:
        return cls(name, data, Digest.of(data))


@dataclass(frozen=True)
class Directory:
    """One platform's directory, with its files sorted by name."""

    name: str
    files: tuple[File, ...]

    @property
    def digests(self) -> dict[str, Digest]:
        return {file.name: file.digest for file in self.files}


def read_directory(path: Path) -> Directory:
    """A directory of a version as it is, signatures included; BOINC passes over names that begin with a dot, and so is
    it here. Raises InputError."""
    try:
        files = [
            File(one.name, one, Digest.of_file(one), executable=bool(one.stat().st_mode & 0o100))
            for one in sorted(path.iterdir())
            if not one.name.startswith(".")
        ]
    except OSError as error:
        raise InputError("bad-tree", f"cannot read {error.filename or path}: {error.strerror}") from error
    return Directory(path.name, tuple(files))


def require_free(apps: Path, app: str, version: Version, directories: Sequence[Directory]) -> None:
    """Raises InputError unless ``version`` is newer than all of ``app`` below ``apps``, or there with these bytes.

    A platform may be added to a version that is there. The error's hint names the next free version.
    """
    there = {path.name: number for path in _visible(apps / app) if (number := directory_number(path.name)) is not None}
    newest = Version(max([*there.values(), version.number]))
    hint = f"the next free version is {newest.next()}"
    same = [name for name, number in there.items() if number == version.number]
    if any(name != str(version) for name in same):
        raise InputError("version-exists", f"{apps / app / same[0]} has the number of {version} already", hint=hint)
    if same:
        pairs = ((one, _difference(apps / app / str(version) / one.name, one)) for one in directories)
        changed = [f"{one.name}/{file}" for one, file in pairs if file is not None]
        if changed:
            message = f"version {version} of {app} is in {apps} already, with other content ({', '.join(changed)})"
            raise InputError("version-exists", message, hint=f"BOINC never changes a version; {hint}")
    elif there and version.number < newest.number:
        message = f"version {version} of {app} would be older than {newest}, which is in {apps}: hosts run the newest"
        raise InputError("version-too-old", message, hint=hint)


def write(apps: Path, app: str, version: Version, directories: Iterable[Directory]) -> list[Path]:
    """Puts directories that are not there yet below ``apps``, each wholly or not at all; returns all that was made.

    Equal files of one call are one file with several names. On any failure nothing of it stays. Raises HostError.
    """
    parent = apps / app / str(version)
    made: list[Path] = []
    known: dict[Digest, Path] = {}
    with _undone_on_failure(made):
        for folder in (apps, apps / app, parent):
            if not folder.exists():
                folder.mkdir(parents=True)
                made.append(folder)
        for directory in directories:
            target = parent / directory.name
            if target.exists():
                made += _add_missing(target, directory)
                continue
            with leftovers.directory_part_of(target) as staging:
                staging.chmod(stat.S_IMODE(parent.stat().st_mode))
                for file in directory.files:
                    _place(file, staging / file.name, known)
                staging.replace(target)
            made.append(target)
            known |= {file.digest: target / file.name for file in directory.files}
            atomic.flush(parent)
    return made


def remove(made: Iterable[Path]) -> None:
    """Takes back what ``write`` made, newest first and past errors; directories of an app or a version that have got
    other content since stay."""
    for path in reversed(list(made)):
        with contextlib.suppress(OSError):
            if path.is_file():
                path.unlink(missing_ok=True)
            elif "__" in path.name and directory_number(path.parent.name) is not None:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.rmdir()


def _add_missing(target: Path, directory: Directory) -> list[Path]:
    """Signatures that came later; the other files are there."""
    made = []
    for file in directory.files:
        path = target / file.name
        if file.name.endswith(SUFFIX) and (not path.exists() or Digest.of_file(path) != file.digest):
            made += [] if path.exists() else [path]
            atomic.write_bytes(path, file.content if isinstance(file.content, bytes) else file.content.read_bytes())
    return made


def _place(file: File, target: Path, known: Mapping[Digest, Path]) -> None:
    twin = known.get(file.digest)
    if twin is not None and bool(twin.stat().st_mode & 0o100) == file.executable:
        with contextlib.suppress(OSError):
            os.link(twin, target)
            return
    if isinstance(file.content, bytes):
        target.write_bytes(file.content)
    else:
        shutil.copyfile(file.content, target)
    target.chmod(0o755 if file.executable else 0o644)
    atomic.flush(target)
    if Digest.of_file(target) != file.digest:
        raise InputError("changed-meanwhile", f"{file.name} changed while it was copied", hint="run it again")


@contextlib.contextmanager
def _undone_on_failure(made: list[Path]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        remove(made)
        if isinstance(error, OSError):
            raise atomic.explain(error, f"write {made[-1] if made else 'the app tree'}") from error
        raise


def _difference(path: Path, wanted: Directory) -> str | None:
    """The first file that differs in a directory, signatures aside; None if it is not there or has exactly these."""
    if not path.exists():
        return None
    found, expected = _plain(read_directory(path).digests), _plain(wanted.digests)
    names = sorted({*found, *expected})
    return next((name for name in names if found.get(name) != expected.get(name)), None)


def _plain(digests: Mapping[str, Digest]) -> dict[str, Digest]:
    return {name: digest for name, digest in digests.items() if not name.endswith(SUFFIX)}


def _visible(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError("bad-tree", f"cannot read {directory}: {error.strerror}") from error
