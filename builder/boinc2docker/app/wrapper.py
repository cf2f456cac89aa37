"""vboxwrapper's binaries: from the cache, a directory, or the net; never of another platform or with another digest."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from boinc2docker import atomic, console
from boinc2docker.app import binary_format
from boinc2docker.app.wrapper_catalogue import Catalogue, Platform
from boinc2docker.digest import Digest, require
from boinc2docker.errors import BuilderError, InputError, NetworkError, VerificationError
from boinc2docker.fetch import Downloader, Wanted

LARGEST = 64 << 20
_HEAD = 4096


@dataclass(frozen=True)
class Wrapper:
    """A checked binary: BOINC publishes it under ``name``."""

    platform: Platform
    name: str
    path: Path
    digest: Digest


@dataclass
class Source:
    """Where binaries come from. ``pins`` gains what is seen first; ``by_hand`` is where users put the rest."""

    catalogue: Catalogue
    pins: dict[str, Digest]
    downloader: Downloader
    by_hand: Path
    missing: list[str] = field(default_factory=list)

    def releases(self, wanted: Mapping[str, str]) -> list[Wrapper]:
        """The releases of these platforms. Raises NetworkError that lists every file to fetch by hand, InputError."""
        found = [one for name, version in wanted.items() if (one := self._release(name, version))]
        if self.missing:
            raise NetworkError(
                "wrapper-missing",
                "cannot download vboxwrapper:\n" + "\n".join(self.missing),
                hint=f"fetch each from one of its addresses, put it into {self.by_hand}, and run this again",
            )
        return found

    def local(self, platforms: Iterable[str], directory: Path) -> list[Wrapper]:
        """The newest release of every platform in ``directory``. Raises InputError that lists what is not there."""
        if not directory.is_dir():
            raise InputError("no-such-directory", f"--wrapper: {directory} is neither a release nor a directory")
        found, missing = [], []
        for platform in map(self.catalogue.platform, platforms):
            names = [path.name for path in directory.iterdir()]
            versions = sorted((v for name in names if (v := platform.version_of(name))), key=int)
            if versions:
                found.append(self._from_directory(platform, versions[-1], directory))
            else:
                missing.append(f"  {platform.file_name('NNNNN')} (or with .zip) for {platform.name}")
        if missing:
            raise InputError(
                "wrapper-missing",
                f"{directory} lacks vboxwrapper for {len(missing)} platform(s):\n" + "\n".join(missing),
                hint="put the files there, NNNNN being the release, or leave platforms out with --platform",
            )
        return found

    def _release(self, name: str, version: str) -> Wrapper | None:
        platform = self.catalogue.platform(name)
        file = platform.file_name(version)
        pin = self.pins.get(file)
        if pin and (path := self.downloader.cache.look_up(pin)):
            return Wrapper(platform, file, path, pin)
        if any((self.by_hand / (file + suffix)).is_file() for suffix in ("", ".zip")):
            return self._pinned(self._from_directory(platform, version, self.by_hand))
        if version not in platform.releases:
            known = ", ".join(platform.releases)
            console.warn(f"vboxwrapper {version} is not a known release for {name} ({known}); trying anyway")
        return self._download(platform, version)

    def _download(self, platform: Platform, version: str) -> Wrapper | None:
        file = platform.file_name(version)
        urls = self.catalogue.urls(platform, version)
        said = []
        for url in urls:
            try:
                path = self.downloader.fetch(Wanted(file, (url,), None, limit=LARGEST))
                return self._pinned(self._admitted(platform, file, path))
            except VerificationError:
                raise
            except (NetworkError, InputError) as error:
                said.append(error.message)
                if error.code == "offline":
                    break
        lines = "".join(f"\n      {url}" for url in urls)
        self.missing.append(f"  {file}, from one of{lines}\n    ({said[-1]})")
        return None

    def _from_directory(self, platform: Platform, version: str, directory: Path) -> Wrapper:
        file = platform.file_name(version)
        bare = directory / file
        return self._admitted(platform, file, bare if bare.is_file() else directory / f"{file}.zip")

    def _admitted(self, platform: Platform, file: str, path: Path) -> Wrapper:
        """A file or zip archive as a wrapper in the cache. Raises InputError, VerificationError (its pin)."""
        data = binary_of(path, file)
        kind = binary_format.describe(data[:_HEAD])
        if kind != platform.format:
            other = {"elf": "a Linux program", "pe": "a Windows program", "macho": "a macOS program"}.get(kind, kind)
            raise InputError("wrong-binary", f"{path}: expected a program for {platform.name}, found {other}")
        digest = Digest.of(data)
        if file in self.pins:
            hint = "BOINC never takes other content under a known name; a binary of your own needs its own number"
            require(self.pins[file], digest, f"{path}", hint=hint)
        cache = self.downloader.cache
        with cache.locked(digest.hex):
            stored = cache.look_up(digest)
            if stored is None:
                arrived = cache.partial(digest.hex)
                atomic.write_bytes(arrived, data)
                stored = cache.admit(arrived, digest, file)
        return Wrapper(platform, file, stored, digest)

    def _pinned(self, wrapper: Wrapper) -> Wrapper:
        self.pins.setdefault(wrapper.name, wrapper.digest)
        return wrapper


def binary_of(path: Path, file: str) -> bytes:
    """The bytes of ``path``, or of the member called ``file`` if it is a zip archive. Raises InputError."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError("wrong-binary", f"{path} has more than {LARGEST >> 20} MiB: not a vboxwrapper")
        if not zipfile.is_zipfile(path) or path.open("rb").read(2) != b"PK":
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.rpartition("/")[2] == file]
            if not members:
                inside = ", ".join(archive.namelist()[:5]) or "nothing"
                raise InputError("wrong-archive", f"{path}: expected {file} in it, found {inside}")
            if members[0].file_size > LARGEST:
                raise InputError("wrong-archive", f"{path}: {file} unpacks to more than {LARGEST >> 20} MiB")
            return archive.read(members[0])
    except BuilderError:
        raise
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        raise InputError("wrong-archive", f"{path} is no zip archive that can be read: {error}") from error
    except OSError as error:
        raise InputError("no-such-file", f"cannot read {path}: {error.strerror or error}") from error
