"""Debian's archive indexes: ``InRelease``, the signed list of files, and ``Packages``, the list of packages.

Formats: https://wiki.debian.org/DebianRepository/Format and Debian Policy, chapter 5. Everything here is pure: bytes
in, values out.
"""

from __future__ import annotations

import email.utils
import lzma
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from debian.deb822 import Deb822, PkgRelation

from boinc2docker.base.lock import is_pool_path
from boinc2docker.digest import Digest, require
from boinc2docker.errors import BuilderError, InputError, VerificationError

CLOCK_SKEW = 600
"""Seconds by which this machine's clock may be behind the archive's."""


@dataclass(frozen=True)
class IndexFile:
    """A file listed in ``InRelease``."""

    size: int
    digest: Digest


@dataclass(frozen=True)
class Release:
    """The content of an ``InRelease``. Times are seconds since the epoch, UTC."""

    suite: str
    codename: str
    date: int
    valid_until: int | None
    by_hash: bool
    files: Mapping[str, IndexFile]

    def file(self, path: str) -> IndexFile:
        """A file below the suite's directory. Raises InputError if it is not listed."""
        try:
            return self.files[path]
        except KeyError:
            raise InputError("bad-index", f"the suite {self.codename} has no {path}") from None


@dataclass(frozen=True)
class Relation:
    """One alternative of a dependency: a name and an optional condition on its version ("<<" "<=" "=" ">=" ">>")."""

    name: str
    operator: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.operator} {self.version})" if self.operator else self.name


Dependency = tuple[Relation, ...]
"""Alternatives, in order of preference."""


@dataclass(frozen=True)
class Package:
    """A binary package in an index."""

    name: str
    version: str
    architecture: str
    archive: str
    pool: str
    size: int
    digest: Digest
    source: str
    source_version: str
    depends: tuple[Dependency, ...] = ()
    """Pre-Depends and Depends."""
    provides: tuple[Relation, ...] = ()


def parse_release(text: str, what: str) -> Release:
    """Parses the signed text of an ``InRelease``. Raises VerificationError."""
    fields = Deb822(text)
    try:
        until = fields.get("Valid-Until")
        return Release(
            suite=fields["Suite"],
            codename=fields["Codename"],
            date=_seconds(fields["Date"]),
            valid_until=_seconds(until) if until else None,
            by_hash=fields.get("Acquire-By-Hash", "no").strip().lower() == "yes",
            files=dict(_sums(fields["SHA256"])),
        )
    except (KeyError, ValueError, BuilderError) as error:
        raise VerificationError("bad-index", f"{what} is not a Release file: {error}") from error


def require_usable(release: Release, codename: str, now: float, what: str, *, since: int = 0) -> None:
    """Raises VerificationError for an index of another suite, an old one, or one dated in the future.

    Debian's main archive gives its indexes no expiry date. So ``since``, the date of the last one seen, keeps a mirror
    from serving an older one.
    """
    if release.codename != codename:
        raise VerificationError(
            "wrong-suite", f"{what}: expected the suite {codename}, found {release.codename} ({release.suite})"
        )
    if release.valid_until is not None and release.valid_until < now:
        raise VerificationError(
            "expired-index",
            f"{what} expired on {_date(release.valid_until)}; today is {_date(now)}",
            hint="the mirror is stale or this machine's clock is wrong; try another mirror",
        )
    if release.date < since:
        raise VerificationError(
            "old-index",
            f"{what} is dated {_date(release.date)}; packages.lock was made from one of {_date(since)}",
            hint="the mirror is stale or hides newer indexes; try another one",
        )
    if release.date > now + CLOCK_SKEW:
        raise VerificationError(
            "future-index",
            f"{what} is dated {_date(release.date)}, in the future; today is {_date(now)}",
            hint="set this machine's clock",
        )


def unpack_packages(packed: bytes, expected: IndexFile, what: str) -> bytes:
    """Decompresses ``Packages.xz``, to at most the expected size. Raises VerificationError."""
    unpacker = lzma.LZMADecompressor()
    try:
        data = unpacker.decompress(packed, max_length=expected.size + 1)
    except lzma.LZMAError as error:
        raise VerificationError("bad-index", f"{what} cannot be unpacked: {error}") from error
    if len(data) != expected.size:
        raise VerificationError("bad-index", f"{what}: expected {expected.size} bytes unpacked, found {len(data)}")
    require(expected.digest, Digest.of(data), f"{what}, unpacked")
    return data


@dataclass(frozen=True)
class PackageIndex:
    """The packages of one suite. Paragraphs are indexed by name and parsed only when needed.

    Parsing all 63 000 takes 5 s; indexing the names takes a tenth of that.
    """

    archive: str
    data: bytes

    @cached_property
    def _named(self) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for paragraph in self.data.split(b"\n\n"):
            if match := _NAME.search(paragraph):
                found.setdefault(match[1].decode(), []).append(paragraph)
        return found

    @cached_property
    def _provided(self) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for paragraphs in self._named.values():
            for paragraph in paragraphs:
                if match := _PROVIDES.search(paragraph):
                    for name in dict.fromkeys(_RELATION_NAME.findall(match[1].decode())):
                        found.setdefault(name, []).append(paragraph)
        return found

    def named(self, name: str) -> list[Package]:
        """All versions of the package ``name``."""
        return [parse_package(paragraph, self.archive) for paragraph in self._named.get(name, ())]

    def providing(self, name: str) -> list[Package]:
        """All packages that provide the virtual package ``name``."""
        return [parse_package(paragraph, self.archive) for paragraph in self._provided.get(name, ())]


_NAME = re.compile(rb"^Package: *(\S+)", re.MULTILINE)
_PROVIDES = re.compile(rb"^Provides: *(.*)", re.MULTILINE)
_RELATION_NAME = re.compile(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]*)")


def parse_package(paragraph: bytes, archive: str) -> Package:
    """Parses a paragraph of ``Packages``. Raises InputError that names the package."""
    fields = Deb822(paragraph)
    name = fields.get("Package", "?")
    try:
        source, _, source_version = fields.get("Source", name).partition(" ")
        package = Package(
            name=name,
            version=fields["Version"],
            architecture=fields["Architecture"],
            archive=archive,
            pool=_pool_path(fields["Filename"]),
            size=int(fields["Size"]),
            digest=Digest.parse(fields["SHA256"]),
            source=source,
            source_version=source_version.strip("() ") or fields["Version"],
            depends=(*relations(fields.get("Pre-Depends", "")), *relations(fields.get("Depends", ""))),
            provides=tuple(relation for group in relations(fields.get("Provides", "")) for relation in group),
        )
    except (KeyError, ValueError, BuilderError) as error:
        raise InputError("bad-index", f"the index entry of {name} is wrong: {error!r}") from error
    return package


def _pool_path(text: str) -> str:
    if not is_pool_path(text):
        raise ValueError(f"expected a path into the pool, found {text!r}")
    return text


def relations(text: str) -> list[Dependency]:
    """A relationship field (Policy 7.1): groups of alternatives. Architecture qualifiers are dropped."""
    return [tuple(_relation(entry) for entry in group) for group in _groups(text)]


def _groups(text: str) -> Sequence[Sequence[Mapping[str, object]]]:
    groups: Sequence[Sequence[Mapping[str, object]]] = PkgRelation.parse_relations(text) if text.strip() else []
    return groups


def _relation(entry: Mapping[str, object]) -> Relation:
    version = entry.get("version")
    if isinstance(version, tuple):
        return Relation(str(entry["name"]), str(version[0]), str(version[1]))
    return Relation(str(entry["name"]))


def _sums(text: str) -> Iterator[tuple[str, IndexFile]]:
    for line in text.splitlines():
        if line.strip():
            digest, size, path = line.split()
            yield path, IndexFile(int(size), Digest.parse(digest))


def _seconds(text: str) -> int:
    moment = email.utils.parsedate_to_datetime(text)
    if moment.tzinfo is None:
        raise ValueError(f"a date without a zone: {text}")
    return int(moment.timestamp())


def _date(seconds: float) -> str:
    return email.utils.formatdate(seconds, usegmt=True)
