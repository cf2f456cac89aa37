"""The parts of a release: every Debian package in the image, with its licence, source and digest.

The packages are those the ISO's identity names, found in the lock, and their licences are read out of the very ``.deb``
files that were built from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from boinc2docker import console
from boinc2docker.base import Cache, deb_member
from boinc2docker.base.lock import Lock, LockedPackage
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.iso import Identity, Report
from boinc2docker.release import licences
from boinc2docker.release.documents import NAME
from boinc2docker.release.licences import Licence

AGENT = "/boot/boinc.img"
"""The overlay's path in an ISO."""
_DOC = "usr/share/doc"
_DEBIAN = "pkg:deb/debian/"


@dataclass(frozen=True)
class Part:
    """A Debian package of the image. ``notice`` is the digest of its copyright file."""

    package: LockedPackage
    suite: str
    licence: Licence
    notice: Digest

    @property
    def purl(self) -> str:
        """Its package URL (the ``deb`` type of the purl specification)."""
        name, version = quote(self.package.name, safe=""), quote(self.package.version, safe="")
        return f"{_DEBIAN}{name}@{version}?arch={self.package.architecture}&distro={self.suite}"


@dataclass(frozen=True)
class Inventory:
    """All parts of a release's ISO, packages sorted by name. ``epoch`` dates every document about it."""

    version: str
    epoch: int
    iso_name: str
    iso: Digest
    base: str
    base_iso: Digest
    agent: Digest
    suite: str
    parts: tuple[Part, ...]


def take(image: Report, lock: Lock, debs: Mapping[LockedPackage, Path], *, iso_name: str, cache: Cache) -> Inventory:
    """The inventory of one of our ISOs. Raises InputError if it and the lock name different packages.

    ``cache`` keeps the copyright files: to find one in a large package takes seconds.
    """
    identity = image.identity
    if identity is None:
        raise InputError("not-ours", f"{image.path} is not an ISO of this project")
    wanted = named(identity)
    known = {package.name: package for package in lock.packages}
    strange = [
        f"{name} {version}" for name, version in wanted.items() if name not in known or known[name].version != version
    ]
    if strange:
        raise InputError("other-lock", f"the ISO has packages that are not in packages.lock: {', '.join(strange)}")
    packages = [known[name] for name in sorted(wanted)]
    notices = _notices({package: debs[package] for package in packages}, cache)
    parts = tuple(
        Part(package, lock.suite, licences.of_copyright(text, package.source), Digest.of(text.encode()))
        for package in packages
        for text in [notices[package.name]]
    )
    return Inventory(
        version=identity.version,
        epoch=identity.epoch,
        iso_name=iso_name,
        iso=image.digest,
        base=identity.base.name,
        base_iso=identity.base.digest,
        agent=next(file.digest for file in image.files if file.path == AGENT),
        suite=lock.suite,
        parts=parts,
    )


def named(identity: Identity) -> dict[str, str]:
    """Package → version, from an identity. Raises InputError if it lists none."""
    listed: Any = identity.base.facts.get("packages")
    if not isinstance(listed, Sequence) or not listed:
        raise InputError("no-packages", f"the base {identity.base.name} does not list its packages")
    return {str(entry["name"]): str(entry["version"]) for entry in listed}


@dataclass(frozen=True)
class Listed:
    """An entry of a list of parts. ``debian`` is what a Debian package's URL names (NAME@VERSION), else empty."""

    name: str
    version: str
    debian: str
    digests: tuple[str, ...]

    @classmethod
    def of(cls, name: str, version: str, purl: str, digests: Iterable[tuple[str, str]]) -> Listed:
        """``digests`` are algorithms, as any list of parts spells them, with values."""
        debian = unquote(purl.removeprefix(_DEBIAN).partition("?")[0]) if purl.startswith(_DEBIAN) else ""
        found = (f"{algorithm.replace('-', '').lower()}:{value}" for algorithm, value in digests)
        return cls(name, version, debian, tuple(found))


def listing(image: Report, identity: Identity, inputs: Mapping[str, Digest]) -> list[Listed]:
    """What a list of an ISO's parts must contain: the ISO, the agent, and its packages with the digests in ``inputs``.

    Raises InputError where ``inputs``, by name and version, lacks a package.
    """
    own = [(NAME, image.digest), *((f"{NAME}-agent", file.digest) for file in image.files if file.path == AGENT)]
    found = [Listed(name, identity.version, "", (str(digest),)) for name, digest in own]
    for name, version in named(identity).items():
        if (digest := inputs.get(f"{name} {version}")) is None:
            raise InputError("no-digest", f"does not name {name} {version}, which is in the ISO")
        found.append(Listed(name, version, f"{name}@{version}", (str(digest),)))
    return found


def difference(listed: Iterable[Listed], expected: Iterable[Listed]) -> str | None:
    """What is listed wrongly, too often or not at all; None if both have the same entries, in any order."""
    here, there = Counter(listed), Counter(expected)
    strange, lacking = ([f"{one.name} {one.version}" for one in found] for found in (here - there, there - here))
    told = [f"listed wrongly or too often: {', '.join(strange)}"] if strange else []
    told += [f"not listed as it is: {', '.join(lacking)}"] if lacking else []
    return "; ".join(told) or None


def _notices(debs: Mapping[LockedPackage, Path], cache: Cache) -> dict[str, str]:
    """Copyright text by package; links to another package's are followed. Raises InputError if one is missing."""
    read: dict[str, dict[str, str]] = {}
    with console.progress("licences", sum(package.size for package in debs)) as advance:
        for package, path in debs.items():
            note = cache.recall("notices", package.digest.hex)
            if note is None:
                note = _notice(package.name, path)
                cache.record("notices", package.digest.hex, note)
            read[package.name] = note
            advance(package.size)
    return {name: _followed(name, read) for name in read}


def _followed(name: str, read: Mapping[str, Mapping[str, str]]) -> str:
    at = name
    for _ in read:
        note = read.get(at, {})
        if "text" in note:
            return note["text"]
        at = note.get("see", at)
    raise InputError("no-licence", f"the package {name} has no copyright file")


def _notice(name: str, path: Path) -> dict[str, str]:
    """A package's copyright ``text``, or the package to ``see``: its directory or file is a link to that one's."""
    found = deb_member.find(path, name, {f"{_DOC}/{name}/copyright", f"{_DOC}/{name}"})
    if found is None:
        return {}
    if found.target is not None:
        return {"see": found.target.removeprefix(f"{_DOC}/").split("/")[0]}
    return {"text": found.data.decode("utf-8", "replace")}
