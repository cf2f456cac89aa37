"""The debian base: lock → packages → ISO. Each step is cached under the digest of its inputs.

``boinc2docker.base.debian.assemble`` makes the ISO; this module decides when that is necessary.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import atomic, console, places
from boinc2docker.base import lock as locks
from boinc2docker.base import mirrors, package_list
from boinc2docker.base.archive import Archive
from boinc2docker.base.lock import Change, Lock, LockedPackage
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.download import GoneError

LOCK = "packages.lock"
_CODE = ("boinc2docker/base/debian", "boinc2docker/formats/newc.py", "boinc2docker/formats/iso9660.py")
_INERT = ("packages.toml", LOCK, "keys")
"""Entries of guest/debian whose bytes do not enter the ISO. The lock's content counts, not its bytes."""


@dataclass(frozen=True)
class Assembled:
    """An assembled ISO in the cache."""

    path: Path
    digest: Digest
    facts: Mapping[str, object]


@dataclass(frozen=True)
class DebianBase:
    """``guest/debian``, and the archive of its packages.

    ``renewed`` is the file for a lock that changes, if ``folder`` is not this user's to change.
    """

    folder: Path
    archive: Archive
    renewed: Path | None = None

    @property
    def lock_path(self) -> Path:
        """The lock that counts unless ``--locked``: the renewed one if there is one."""
        return self.renewed if self.renewed and self.renewed.exists() else self.folder / LOCK

    @property
    def cache(self) -> Cache:
        return self.archive.downloader.cache

    def current_lock(self, *, locked: bool) -> Lock:
        """The lock, updated if packages.toml has changed. With ``locked``, raises InputError instead."""
        inputs = package_list.read(self.folder / "packages.toml").digest
        if not locked and not self.lock_path.exists():
            return self.update()[0]
        lock = locks.read(self.folder / LOCK if locked else self.lock_path)
        if locked or lock.inputs == inputs:
            locks.require_current(lock, inputs)
            return lock
        console.info("packages.toml has changed since packages.lock was written; resolving again")
        return self.update()[0]

    def update(self) -> tuple[Lock, list[Change]]:
        """Resolves against today's signed indexes, none older than the lock's. Writes the lock and says what changed.

        If the packages are the same, the file and its epoch stay, and so do the ISO's bytes.
        """
        wanted = package_list.read(self.folder / "packages.toml")
        before = self.last_lock()
        with console.step(f"reading Debian's index ({', '.join(index.suite for index in wanted.indexes)})"):
            after = self.archive.lock(wanted, since=dict(before.dates) if before else None)
        changes = locks.compare(before, after)
        if before is not None and not changes and before.inputs == after.inputs:
            return before, []
        locks.write(self.renewed or self.folder / LOCK, after)
        for change in changes:
            console.info(f"packages.lock: {change}")
        return after, changes

    def last_lock(self) -> Lock | None:
        """The lock on the disk; None if it is missing or damaged, as by a failed merge."""
        try:
            return locks.read(self.lock_path) if self.lock_path.exists() else None
        except InputError as error:
            console.warn(f"{error.message}; rewriting it")
            return None

    def packages(self, lock: Lock, *, locked: bool) -> tuple[Lock, Mapping[LockedPackage, Path]]:
        """The ``.deb`` files and their lock, which is updated if a package has left every mirror."""
        try:
            return lock, self.archive.fetch(lock)
        except GoneError as error:
            if locked:
                error.hint = (
                    "a newer version replaced it; name a mirror that still has it with"
                    f" {' or '.join(mirrors.VARIABLES.values())}"
                )
                raise
            console.warn(f"{error.message}; resolving again")
        renewed, changes = self.update()
        if not changes:
            raise GoneError(
                "gone",
                "a locked package is on no mirror, and Debian's index still names it",
                hint="the mirror is incomplete or being updated: try again later, or another mirror",
            )
        return renewed, self.archive.fetch(renewed)

    def assemble(self, *, locked: bool, epoch: int | None) -> tuple[Lock, Assembled]:
        """The base ISO; from the cache if it was assembled from the same inputs before."""
        lock = self.current_lock(locked=locked)
        with self.cache.locked("assembly"):
            if known := self._recall(self.key(lock, epoch)):
                self.cache.mark_used(one.digest for one in lock.packages)  # mirrors may have dropped them
                return lock, known
            lock, packages = self.packages(lock, locked=locked)
            # Computed first: the result must not be recorded under files that change meanwhile.
            key = self.key(lock, epoch)
            return lock, self._recall(key) or self._make(key, lock, packages, epoch)

    def _recall(self, key: Digest) -> Assembled | None:
        """The verified ISO assembled earlier from the same inputs."""
        note = self.cache.recall("assembled", key.hex)
        if note is None:
            return None
        digest = Digest.parse(str(note.get("sha256")))
        path = self.cache.look_up(digest)
        return Assembled(path, digest, dict(note.get("facts", {}))) if path else None

    def key(self, lock: Lock, epoch: int | None) -> Digest:
        """Digest of everything that determines the ISO: lock, epoch, files of guest/debian, and the assembling code."""
        inputs = {
            "lock": Digest.of(locks.render(lock).encode()).hex,
            "epoch": lock.epoch if epoch is None else epoch,
            "guest": dict(_digests(self.folder, _INERT)),
            "code": {part: dict(_digests(places.SOURCE / part, ())) for part in _CODE},
            "pycdlib": importlib.metadata.version("pycdlib"),
        }
        return Digest.of(json.dumps(inputs, sort_keys=True).encode())

    def _make(self, key: Digest, lock: Lock, packages: Mapping[LockedPackage, Path], epoch: int | None) -> Assembled:
        """Assembles in a directory of the cache; removes what an interrupted build left there."""
        from boinc2docker.base import debian  # which imports this package's lock

        work = self.cache.root / "assembling"
        iso = work / "base.iso"
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            with console.step("assembling the debian base"):
                facts = debian.assemble(packages, self.folder, iso, epoch=lock.epoch if epoch is None else epoch)
            digest = Digest.of_file(iso)
            path = self.cache.admit(iso, digest, "the debian base")
        except OSError as error:
            raise atomic.explain(error, f"assemble the debian base in {work}") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        self.cache.record("assembled", key.hex, {"sha256": digest.hex, "facts": facts})
        return Assembled(path, digest, facts)


def _digests(root: Path, without: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Relative path, and mode with digest, of each file below ``root``, or of ``root`` itself."""
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    for path in files:
        relative = path.relative_to(root)
        if "__pycache__" in relative.parts or (relative.parts and relative.parts[0] in without):
            continue
        try:
            executable = path.stat().st_mode & 0o100
            yield relative.as_posix(), f"{executable:o} {Digest.of_file(path).hex}"
        except OSError as error:
            raise InputError("unreadable", f"cannot read {path}: {error}") from error
