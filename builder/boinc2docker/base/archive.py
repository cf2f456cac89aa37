"""Talks to Debian mirrors: makes a lock from signed indexes, and fetches the ``.deb`` files of a lock."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pysequoia import Cert

from boinc2docker import console
from boinc2docker.base import apt_index, resolve, signature
from boinc2docker.base.apt_index import PackageIndex, Release
from boinc2docker.base.lock import Lock, LockedPackage
from boinc2docker.base.mirrors import Mirrors
from boinc2docker.base.package_list import PackageList, SuiteOf
from boinc2docker.errors import BuilderError, NetworkError, VerificationError
from boinc2docker.fetch.download import Downloader, GoneError, Wanted

_LARGEST_RELEASE = 8 << 20


@dataclass(frozen=True)
class Archive:
    """Debian's archives through some mirrors. Only signatures by ``keys`` count."""

    downloader: Downloader
    mirrors: Mirrors
    keys: tuple[Cert, ...]

    def lock(self, wanted: PackageList, now: float | None = None, *, since: Mapping[str, int] | None = None) -> Lock:
        """Resolves the list against today's signed indexes; ``since`` (seconds, by suite) refuses older ones.

        Raises NetworkError, VerificationError (signature, date, suite, digest), InputError (unresolvable).
        """
        oldest = since or {}
        read = [
            self.index(suite, wanted.architecture, now, since=oldest.get(suite.suite, 0)) for suite in wanted.indexes
        ]
        indexes = [index for _, index in read]
        sections = {
            name: resolve.resolve(section, indexes, wanted.architecture) for name, section in wanted.sections.items()
        }
        packages = tuple(
            LockedPackage(
                name=package.name,
                version=package.version,
                architecture=package.architecture,
                archive=package.archive,
                pool=package.pool,
                size=package.size,
                digest=package.digest,
                source=package.source,
                source_version=package.source_version,
                sections=tuple(sorted(where)),
            )
            for package, where in resolve.merge(sections).values()
        )
        epoch = max(release.date for release, _ in read)
        dates = {suite.suite: release.date for suite, (release, _) in zip(wanted.indexes, read, strict=True)}
        return Lock(
            wanted.suite, wanted.architecture, epoch, wanted.digest, packages, dates=tuple(sorted(dates.items()))
        )

    def index(
        self, suite: SuiteOf, architecture: str, now: float | None = None, *, since: int = 0
    ) -> tuple[Release, PackageIndex]:
        """The verified release file and package index of one suite."""
        release = self.release(suite, now, since=since)
        plain = f"main/binary-{architecture}/Packages"
        packed = release.file(plain + ".xz")
        what = f"{suite.suite} {plain}.xz"
        base = f"dists/{suite.suite}"
        by_hash = f"{base}/main/binary-{architecture}/by-hash/SHA256/{packed.digest.hex}"
        urls = self.mirrors.urls(suite.archive, f"{base}/{plain}.xz")
        if release.by_hash:
            urls = self.mirrors.urls(suite.archive, by_hash) + urls
        path = self.downloader.fetch(Wanted(what, urls, packed.digest, packed.size))
        data = apt_index.unpack_packages(path.read_bytes(), release.file(plain), what)
        return release, PackageIndex(suite.archive, data)

    def release(self, suite: SuiteOf, now: float | None = None, *, since: int = 0) -> Release:
        """The first mirror's ``InRelease`` that is signed, current and of this suite; stale mirrors are skipped."""
        failures: list[BuilderError] = []
        for url in self.mirrors.urls(suite.archive, f"dists/{suite.suite}/InRelease"):
            what = f"{suite.suite} InRelease"
            try:
                path = self.downloader.fetch(Wanted(what, (url,), None, limit=_LARGEST_RELEASE))
                text = signature.signed_text(path.read_bytes(), self.keys, what)
                release = apt_index.parse_release(text, what)
                apt_index.require_usable(release, suite.suite, time.time() if now is None else now, what, since=since)
            except (NetworkError, VerificationError) as error:
                if error.code == "offline":
                    raise
                failures.append(error)
            else:
                return release
        # A failed verification tells more than a mirror that is down.
        raise next((error for error in failures if isinstance(error, VerificationError)), failures[0])

    def fetch(self, lock: Lock) -> Mapping[LockedPackage, Path]:
        """The verified ``.deb`` of every locked package. The snapshot service has those that left every mirror.

        Raises GoneError if a package is on no mirror and not in a snapshot; NetworkError, VerificationError, HostError.
        """
        wanted = [
            Wanted(
                f"{package.name} {package.version}",
                self.mirrors.urls(package.archive, package.pool),
                package.digest,
                package.size,
            )
            for package in lock.packages
        ]
        label = f"{len(wanted)} Debian packages, {lock.size / 1e6:.0f} MB"
        with console.step(f"fetching {label}"):
            try:
                paths = self.downloader.fetch_all(wanted, label=label)
            except GoneError as error:
                paths = self._from_the_past(lock, wanted, error)
        return dict(zip(lock.packages, paths, strict=True))

    def _from_the_past(self, lock: Lock, wanted: Sequence[Wanted], gone: GoneError) -> list[Path]:
        """All files: the missing ones from the snapshot service, the others from the cache."""
        cache = self.downloader.cache
        missing = [package for package in lock.packages if cache.look_up(package.digest, package.size) is None]
        past = {item.digest: self.mirrors.past(item.archive, item.pool, lock.date(item.archive)) for item in missing}
        if not all(past.values()):
            raise gone
        console.info(f"{len(missing)} packages have left every mirror; asking the snapshot service, which may be slow")
        again = [replace(item, urls=past.get(item.digest, item.urls)) for item in wanted if item.digest]
        try:
            return self.downloader.fetch_all(again)
        except NetworkError as error:
            raise GoneError("gone", f"{gone.message}; the snapshot service did not help: {error.message}") from error


__all__ = ["Archive", "GoneError"]
