"""A run's numbered directory for its job, results and logs.

Root in the container chooses modes and, where QEMU is allowed to, owners below ``shared``. So no other user of this
host can enter the directory, and no file keeps a set-user-ID or set-group-ID bit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.atomic import explain
from boinc2docker.errors import InputError


@dataclass(frozen=True)
class RunDirectory:
    """The paths of one run. ``shared`` and ``results`` lie outside ``own`` if the user says so."""

    own: Path
    shared: Path
    results: Path
    log: Path

    def forget_job(self) -> None:
        """Removes the job with its copy of the image; results, logs and a user's own job stay."""
        if self.shared.parent == self.own:
            shutil.rmtree(self.shared, ignore_errors=True)


def new_directory(parent: Path, *, job: Path | None = None, results: Path | None = None) -> RunDirectory:
    """Makes ``parent/<number>`` with the next free number. Raises HostError if it cannot."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        number = max((int(path.name) for path in parent.iterdir() if path.name.isdecimal()), default=0)
        own = None
        while own is None:
            number += 1
            with contextlib.suppress(FileExistsError):
                (parent / str(number)).mkdir(mode=0o700)
                own = parent / str(number)
    except OSError as error:
        raise explain(error, f"write {parent}") from error
    return RunDirectory(own, job or own / "shared", results or own / "results", own / "log")


def disarm(folder: Path) -> None:
    """Clears set-user-ID and set-group-ID bits of every file below, and opens every directory to its owner.

    Links are not followed. Files of other users, which cannot be changed, stay as they are.
    """
    _disarm(folder)  # before the walk, which silently skips what it cannot list
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _disarm(Path(parent, name))


def _disarm(path: Path) -> None:
    with contextlib.suppress(OSError):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            path.chmod(stat.S_IMODE(mode) & 0o1777)
        elif stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
            path.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)  # else nobody could look into it


@contextlib.contextmanager
def discarded_on(directory: RunDirectory, kinds: Sequence[type[BaseException]]) -> Iterator[None]:
    """Removes the run's directory if the block raises one of ``kinds``, as they are at that moment."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, tuple(kinds)):
            shutil.rmtree(directory.own, ignore_errors=True)
        raise


@contextlib.contextmanager
def patience(shared: Path, factor: int) -> Iterator[None]:
    """Within the block a file tells the guest to give its Docker ``factor`` times as long; none is written for 1.

    Raises InputError if the directory for it is a link: a guest can make one. Raises HostError.
    """
    if factor == 1:
        yield
        return
    place = shared / ".boinc2docker"
    told = place / "patience"
    try:
        place.mkdir(exist_ok=True)
        if place.is_symlink():
            raise InputError("bad-job", f"{place} is a link; expected a directory", hint="remove it")
        told.unlink(missing_ok=True)
        with told.open("x") as stream:
            stream.write(f"{factor}\n")
    except OSError as error:
        raise explain(error, f"write {told}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            told.unlink()
