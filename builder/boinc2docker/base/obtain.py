"""From ``--base NAME|PATH|URL`` to a verified ISO on this disk."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from boinc2docker import atomic, console, places
from boinc2docker.base import catalogue as catalogues
from boinc2docker.base import epoch, mirrors, signature, update_report
from boinc2docker.base import lock as locks
from boinc2docker.base.archive import Archive
from boinc2docker.base.assembly import LOCK, DebianBase
from boinc2docker.base.catalogue import Assembled, Catalogue, Download
from boinc2docker.base.lock import Change
from boinc2docker.digest import Digest, require
from boinc2docker.errors import InputError, UsageError
from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.download import Downloader, Wanted
from boinc2docker.fetch.transfer import Patience, shown

_LARGEST_ISO = 4 << 30


@dataclass(frozen=True)
class Base:
    """A verified base ISO. ``epoch`` (seconds) dates everything built from it.

    ``facts``: as far as known ``kernel``, ``docker`` (versions) and ``packages`` (name, version, architecture, source).
    """

    name: str
    path: Path
    digest: Digest
    epoch: int
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Fetched:
    """What ``fetch`` put into the cache."""

    name: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Sources:
    """Where bases come from; by default this package's guest/, the user's cache and the environment's mirrors."""

    guest: Path = places.GUEST
    cache: Cache = field(default_factory=Cache.of_user)
    offline: bool = False
    mirror: str | None = None
    security_mirror: str | None = None
    patience: Patience = field(default_factory=Patience)

    def catalogue(self) -> Catalogue:
        return catalogues.read(self.guest / "bases.toml")

    def downloader(self) -> Downloader:
        return Downloader(self.cache, self.offline, self.patience)

    def debian(self) -> DebianBase:
        """The packages that the debian base is assembled from."""
        return self.packages("debian")

    def packages(self, folder: str) -> DebianBase:
        """The package list and the lock in a folder of ``guest``, and the archive that they name packages of."""
        chosen = {mirrors.ARCHIVE: self.mirror, mirrors.SECURITY: self.security_mirror}
        known = self.catalogue()
        where = mirrors.choose(known.mirrors, snapshot=known.snapshot, chosen=chosen)
        keys = tuple(signature.load_keys(self.guest / "debian" / "keys"))
        place = self.guest / folder
        renewed = None if self.is_own else self.cache.root / "guest" / f"{Digest.of_file(place / LOCK).hex}.lock"
        return DebianBase(place, Archive(self.downloader(), where, keys), renewed)

    @property
    def is_own(self) -> bool:
        """Whether locks and pins that change are kept in ``guest``; otherwise they are kept in the cache."""
        return self.guest != places.GUEST or places.own_checkout() is not None


def obtain(
    spec: str | None = None,
    *,
    sha256: Digest | None = None,
    locked: bool = False,
    offline: bool = False,
    mirror: str | None = None,
    security_mirror: str | None = None,
    sources: Sources | None = None,
) -> Base:
    """The base that ``spec`` names (a name of the catalogue, a path or a URL; None: the default), ready on disk.

    ``sha256`` is required of it whatever it is. ``locked`` changes no lock and no pin; ``offline`` opens no socket.
    ``sources`` replaces the other keywords. Raises BuilderErrors.
    """
    where = sources or Sources(offline=offline, mirror=mirror, security_mirror=security_mirror)
    found = _find(spec, where)
    if isinstance(found, Assembled):
        return _assembled(found.name, where, sha256, locked=locked)
    if isinstance(found, Download):
        return _downloaded(found, where, sha256, locked=locked)
    return _local(found, sha256)


def fetch(spec: str | None = None, *, locked: bool = False, sources: Sources | None = None) -> Fetched:
    """Fetches everything that a base needs into the cache, for an offline build later. Raises BuilderErrors."""
    where = sources or Sources()
    found = _find(spec, where)
    if isinstance(found, Assembled):
        debian = where.debian()
        lock, packages = debian.packages(debian.current_lock(locked=locked), locked=locked)
        return Fetched(found.name, len(packages), lock.size)
    base = _downloaded(found, where, None, locked=locked) if isinstance(found, Download) else _local(found, None)
    return Fetched(base.name, 1, base.path.stat().st_size)


def update_lock(*, sources: Sources | None = None) -> list[Change]:
    """Resolves the debian base's packages again, rewrites its lock and returns the changes. Raises BuilderErrors."""
    return (sources or Sources()).debian().update()[1]


def update_and_report(sources: Sources, directory: Path) -> list[Change]:
    """``update_lock``, and in ``directory`` the lock (packages.lock) and what changed in Markdown (summary.md).

    Changed packages from the security archive are downloaded for what their changelogs say. Raises BuilderErrors.
    """
    debian = sources.debian()
    before = debian.last_lock()
    after, changes = debian.update()
    urgent = update_report.from_security(before, after)
    debs = debian.archive.fetch(replace(after, packages=tuple(urgent))) if urgent else {}
    text = update_report.render(before, changes, urgent, update_report.fixes(before, debs))
    atomic.write_text(directory / "summary.md", text)
    locks.write(directory / "packages.lock", after)
    return changes


def _find(spec: str | None, where: Sources) -> Assembled | Download | Path:
    """Interprets ``--base``: as a name, then as a URL, then as a path."""
    catalogue = where.catalogue()
    name = catalogue.default if spec is None else spec
    if name in catalogue.entries:
        return catalogue.entries[name]
    if "://" in name:
        return _of_url(name)
    path = Path(name).expanduser()
    if path.exists() or "/" in name or path.suffix.lower() == ".iso":
        return path
    return catalogue.entry(name)


def _of_url(url: str) -> Download | Path:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError("bad-url", f"expected an http, https or file URL, found {shown(url)!r}")
    return Download(Path(unquote(parts.path)).name or parts.netloc, "", (url,), None)


def _assembled(name: str, where: Sources, sha256: Digest | None, *, locked: bool) -> Base:
    chosen = epoch.chosen()
    lock, made = where.debian().assemble(locked=locked, epoch=chosen)
    if sha256:
        require(sha256, made.digest, f"the assembled base {name}")
    return Base(name, made.path, made.digest, lock.epoch if chosen is None else chosen, made.facts)


def _downloaded(entry: Download, where: Sources, sha256: Digest | None, *, locked: bool) -> Base:
    if sha256 and entry.digest:
        require(sha256, entry.digest, f"the base {entry.name} of the catalogue")
    pins = _Pins(where, entry)
    expected = entry.digest or sha256 or pins.read()
    if expected is None and locked and pins.catalogued:
        raise InputError(
            "unpinned",
            f"--locked, and no digest of the base {entry.name} is known",
            hint="give --sha256, or build it once without --locked and commit guest/base-pins.toml",
        )
    path = where.downloader().fetch(Wanted(f"base {entry.name}", entry.urls, expected, limit=_LARGEST_ISO))
    digest = expected or Digest.of_file(path)
    if expected is None:
        pins.write(digest)
        console.info(f"the first download of {shown(entry.urls[0])} has {digest}, which is required from now on")
    return _base(entry.name, path, digest)


@dataclass(frozen=True)
class _Pins:
    """The digest that a URL had at first.

    For an entry of a checkout's catalogue it is kept beside the catalogue, otherwise in the user's cache.
    """

    where: Sources
    entry: Download

    @property
    def catalogued(self) -> bool:
        return self.entry.name in self.where.catalogue().entries

    @property
    def path(self) -> Path:
        return self.where.guest / "base-pins.toml"

    @property
    def url(self) -> str:
        return shown(self.entry.urls[0])

    @property
    def key(self) -> str:
        return Digest.of(self.url.encode()).hex

    def read(self) -> Digest | None:
        if self.catalogued and (pinned := catalogues.read_pins(self.path).get(self.url)):
            return pinned
        if self.catalogued and self.where.is_own:
            return None
        note: dict[str, Any] = self.where.cache.recall("urls", self.key) or {}
        return Digest.parse(note["sha256"]) if note.get("url") == self.url else None

    def write(self, digest: Digest) -> None:
        if self.catalogued and self.where.is_own:
            catalogues.write_pins(self.path, {**catalogues.read_pins(self.path), self.url: digest})
        else:
            self.where.cache.record("urls", self.key, {"url": self.url, "sha256": digest.hex})


def _local(path: Path, sha256: Digest | None) -> Base:
    """A file of the user's, used in place."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise InputError("not-a-file", f"expected an ISO file, but {path} is {kind}")
        digest = Digest.of_file(path)
    except FileNotFoundError:
        raise InputError("no-such-file", f"there is no file {path}") from None
    except OSError as error:
        raise InputError("unreadable", f"cannot read {path}: {error.strerror}") from error
    if sha256:
        require(sha256, digest, str(path))
    else:
        console.info(f"{path} has {digest}")
    return _base(path.name, path, digest)


def _base(name: str, path: Path, digest: Digest) -> Base:
    chosen = epoch.chosen()
    return Base(name, path, digest, epoch.of_iso(path) if chosen is None else chosen)
