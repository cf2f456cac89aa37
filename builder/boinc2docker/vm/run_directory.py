"""Where one run keeps its job, results and logs: a directory with a number of its own.

Whoever is root in the container chooses modes and, where QEMU may, owners below ``shared``: no other user of this host
can enter a run's directory, and no file keeps a bit that would run it as its owner.
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
    """The places of one run. ``shared`` and ``results`` may lie elsewhere, if the user says so."""

    own: Path
    shared: Path
    results: Path
    log: Path

    def forget_job(self) -> None:
        """Removes a job that has succeeded, with its copy of the image; results, logs and a user's own job stay."""
        if self.shared.parent == self.own:
            shutil.rmtree(self.shared, ignore_errors=True)


def new_directory(parent: Path, *, job: Path | None = None, results: Path | None = None) -> RunDirectory:
    """Makes ``parent/<number>``, the next number that nobody has. Raises HostError where that is not possible."""
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
    """Takes set-user-ID and set-group-ID bits from every file below, and opens it and every directory to its owner.

    Links are not followed. What cannot be changed is not this user's, and stays.
    """
    _disarm(folder)  # before the walk, which says nothing of what it cannot list
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
    """Removes what a run has made of its own if the block ends with one of ``kinds``, as they are then."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, tuple(kinds)):
            shutil.rmtree(directory.own, ignore_errors=True)
        raise


@contextlib.contextmanager
def patience(shared: Path, factor: int) -> Iterator[None]:
    """Inside, tells the guest of a job to give its Docker ``factor`` times as long; nothing is written for 1.

    Raises InputError if something else has the file's place: a guest can put links there.
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
