"""``guest/debian/packages.lock``: which packages, which versions, which bytes.

The lock names packages, versions, pool files and SHA-256 digests, but no hosts: any mirror can serve it. It has the
digest of its ``packages.toml``, which shows when it is stale, and the epoch (the date of the newest signed index it was
made from), which dates everything built from it. The date of each suite's index keeps mirrors from serving older ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from boinc2docker import atomic
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.formats.toml_settings import FILLED, Count, Rule, Text, TomlFile, key

FORMAT = 1
ARCHIVES = ("debian", "debian-security")
_HEADER = """\
# Written by `invoke update-base` from packages.toml and Debian's signed index. Do not edit.
"""
_HINT = "run `ci/invoke update-base` to rewrite it"


def is_pool_path(pool: str) -> bool:
    """Whether ``pool`` is a plain relative path into an archive's pool."""
    parts = pool.split("/")
    return parts[0] == "pool" and len(parts) >= 3 and not set(parts) & {"", ".", ".."} and "?" not in pool


Format = Annotated[int, Rule(f"{FORMAT}", lambda number: number == FORMAT)]
Archive = Annotated[str, Rule(f"one of {', '.join(ARCHIVES)}", lambda name: name in ARCHIVES)]
PoolPath = Annotated[str, Rule("a path into the pool", is_pool_path)]


@dataclass(frozen=True, order=True)
class LockedPackage:
    """One binary package. ``pool`` is its path below the archive's root; ``size`` is in bytes."""

    name: Text
    version: Text
    architecture: Text
    archive: Archive
    pool: PoolPath
    size: Count
    digest: Digest = field(metadata=key("sha256"))
    source: Text
    source_version: Text = field(metadata=key("source-version"))
    sections: Annotated[tuple[Text, ...], FILLED]
    """The sections that use it (``rootfs``, ``kernel``, ``tools``), sorted."""


@dataclass(frozen=True)
class Lock:
    """All packages of a base, sorted by name; each name occurs once."""

    suite: str
    architecture: str
    epoch: int
    inputs: Digest
    """Digest of the packages.toml that this lock was made from."""
    packages: tuple[LockedPackage, ...]
    dates: tuple[tuple[str, int], ...] = ()
    """(suite, date of its index), sorted; a suite that is missing was not noted."""

    def section(self, name: str) -> tuple[LockedPackage, ...]:
        """The packages of one section. Raises InputError if there are none."""
        found = tuple(package for package in self.packages if name in package.sections)
        if not found:
            raise InputError("bad-lock", f"the lock has no packages in the section {name!r}", hint=_HINT)
        return found

    def __getitem__(self, name: str) -> LockedPackage:
        for package in self.packages:
            if package.name == name:
                return package
        raise InputError("bad-lock", f"the lock has no package {name!r}", hint=_HINT)

    def date(self, archive: str) -> int:
        """Date of the archive's newest index that it was made from; the epoch if that is not recorded."""
        of = [date for suite, date in self.dates if suite.endswith("-security") == (archive == "debian-security")]
        return max(of, default=self.epoch)

    @property
    def size(self) -> int:
        """Bytes of all packages."""
        return sum(package.size for package in self.packages)


@dataclass(frozen=True)
class Change:
    """One package that differs between two locks; None where it is absent."""

    name: str
    before: str | None
    after: str | None
    same_version: str = ""
    """What differs if the version does not, in words."""

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} {self.after} (new)"
        if self.after is None:
            return f"{self.name} {self.before} (gone)"
        if self.before == self.after:
            return f"{self.name} {self.before} ({self.same_version})"
        return f"{self.name} {self.before} → {self.after}"


def compare(before: Lock | None, after: Lock) -> list[Change]:
    """The differences, sorted by name; empty if both lock the same packages for the same sections."""
    old = {package.name: package for package in before.packages} if before else {}
    new = {package.name: package for package in after.packages}
    changes = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was != now:
            unlike = _unlike(was, now) if was and now else ""
            changes.append(Change(name, was.version if was else None, now.version if now else None, unlike))
    return changes


def _unlike(was: LockedPackage, now: LockedPackage) -> str:
    """What differs between two packages of one version; a point release takes over those of the security archive."""
    if was.digest != now.digest:
        return "same version, different bytes"
    if was.archive != now.archive:
        return f"moved to another archive: {was.archive} → {now.archive}, same bytes"
    if was.sections != now.sections:
        return f"same bytes, used in {', '.join(now.sections)} instead of {', '.join(was.sections)}"
    return "same bytes, different entry in the index"


def render(lock: Lock) -> str:
    """The lock as TOML: one small table a package, in an order that depends on the content only."""
    lines = [
        _HEADER + f"format = {FORMAT}",
        f"suite = {_quoted(lock.suite)}",
        f"architecture = {_quoted(lock.architecture)}",
        f"epoch = {lock.epoch}",
        f"inputs = {_quoted(str(lock.inputs))}",
    ]
    if lock.dates:
        lines += ["", "[dates]", *(f"{_quoted(suite)} = {date}" for suite, date in sorted(lock.dates))]
    for package in sorted(lock.packages):
        lines += ["", "[[package]]"]
        lines += [
            f"name = {_quoted(package.name)}",
            f"version = {_quoted(package.version)}",
            f"architecture = {_quoted(package.architecture)}",
            f"sections = [{', '.join(_quoted(name) for name in sorted(package.sections))}]",
            f"source = {_quoted(package.source)}",
            f"source-version = {_quoted(package.source_version)}",
            f"archive = {_quoted(package.archive)}",
            f"pool = {_quoted(package.pool)}",
            f"size = {package.size}",
            f"sha256 = {_quoted(package.digest.hex)}",
        ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Document:
    """The whole file."""

    format: Format
    suite: Text
    architecture: Text
    epoch: Count
    inputs: Digest
    package: Annotated[tuple[LockedPackage, ...], Rule("at least one [[package]]", bool)]
    dates: Mapping[str, Count] = field(default_factory=dict)


_FILE = TomlFile(_Document, "bad-lock", hint=_HINT)


def parse(text: str, *, name: str = "packages.lock") -> Lock:
    """Reads what ``render`` wrote. Raises InputError that names ``name`` and what is wrong."""
    return _lock(_FILE.parse(text, name), name)


def read(path: Path) -> Lock:
    """The lock in ``path``. Raises InputError if it is missing or unreadable."""
    return _lock(_FILE.read(path), path.name)


def _lock(document: _Document, name: str) -> Lock:
    _require_unique(document.package, name)
    return Lock(
        suite=document.suite,
        architecture=document.architecture,
        epoch=document.epoch,
        inputs=document.inputs,
        packages=tuple(sorted(document.package)),
        dates=tuple(sorted(document.dates.items())),
    )


def write(path: Path, lock: Lock) -> None:
    """Writes the lock to ``path``, atomically."""
    atomic.write_text(path, render(lock))


def require_current(lock: Lock, inputs: Digest) -> None:
    """Raises InputError if the lock was made from another packages.toml."""
    if lock.inputs != inputs:
        raise InputError(
            "stale-lock",
            f"packages.lock was made from another packages.toml: expected {inputs}, found {lock.inputs}",
            hint=_HINT,
        )


def _quoted(text: str) -> str:
    """A TOML basic string. Raises InputError for characters that no package field has; nothing is escaped."""
    if not text.isascii() or not text.isprintable() or '"' in text or "\\" in text:
        raise InputError("bad-package", f"a package field has characters that Debian does not allow: {text!r}")
    return f'"{text}"'


def _require_unique(packages: Iterable[LockedPackage], lock_name: str) -> None:
    seen: set[str] = set()
    for package in packages:
        if package.name in seen:
            raise InputError("bad-lock", f"{lock_name}: {package.name} occurs twice", hint=_HINT)
        seen.add(package.name)
