"""Building in a room of its own: a directory, home, time zone, umask, locale, hash seed, cores, and an empty cache.

Only the downloaded packages are shared with the user's cache; everything else is made anew, from the commit's files.
Two rooms that differ in all of this and give the same bytes are what a release's reproducibility rests on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.base import Cache
from boinc2docker.base.lock import LockedPackage
from boinc2docker.errors import HostError

_KEPT = ("PATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


@dataclass(frozen=True)
class Room:
    """The surroundings of a build; ``cores`` None: all of them."""

    directory: str
    umask: int
    cores: int | None
    environment: Mapping[str, str]


FIRST = Room("first", 0o022, None, {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"})
SECOND = Room(
    "the second room, with ä longer name",
    0o077,
    1,
    {"TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "4711", "USER": "somebody"},
)


@dataclass(frozen=True)
class Materials:
    """What a build needs: the commit's files as a tar archive, the cache with the locked packages, the date."""

    files: bytes
    cache: Cache
    packages: tuple[LockedPackage, ...]
    epoch: int


def build(room: Room, materials: Materials, work: Path) -> Path:
    """Runs ``build-iso --locked --offline`` in the room below ``work``; returns the ISO. Raises HostError."""
    place = work / room.directory
    source, home, cache = place / "checkout", place / "home", Cache(place / "cache")
    for directory in (source, home, place / "tmp"):
        directory.mkdir(parents=True)
    _unpack(materials.files, source, room.umask)
    _share(materials.cache, cache, materials.packages)
    target = place / "release.iso"
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "HOME": str(home),
        "TMPDIR": str(place / "tmp"),
        "BOINC2DOCKER_CACHE": str(cache.root),
        "PYTHONPATH": f"{source / 'builder'}:{source}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": str(materials.epoch),
        **room.environment,
    }
    argv = [sys.executable, "-m", "boinc2docker.cli.program", "build-iso"]
    argv += ["--locked", "--offline", "--json", "--output", str(target)]
    with _cores(room.cores):
        done = subprocess.run(
            argv, cwd=source, env=environment, stdout=subprocess.PIPE, umask=room.umask, check=False, text=True
        )
    if done.returncode != 0:
        raise HostError(
            "build-failed", f"the build in {room.directory!r} ended with {done.returncode}: {_why(done.stdout)}"
        )
    return target


def _why(output: str) -> str:
    try:
        return str(json.loads(output)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return output.strip()[-400:] or "see above"


def _unpack(files: bytes, target: Path, umask: int) -> None:
    """As ``git clone`` would write them under this umask. Raises HostError."""
    argv = ["tar", "--extract", "--no-same-owner", "--no-same-permissions", "--directory", str(target)]
    done = subprocess.run(argv, input=files, umask=umask, check=False, capture_output=True)
    if done.returncode != 0:
        raise HostError("build-failed", f"cannot unpack the checkout: {done.stderr.decode(errors='replace').strip()}")


def _share(source: Cache, target: Cache, packages: Iterable[LockedPackage]) -> None:
    """Copies the packages' files, by hard link where possible."""
    for package in packages:
        there, here = source.path(package.digest), target.path(package.digest)
        here.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(there, here)
        except OSError:
            shutil.copy(there, here)


@contextlib.contextmanager
def _cores(count: int | None) -> Iterator[None]:
    """Restricts this process and its children to so many cores, where the system supports it."""
    if count is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
