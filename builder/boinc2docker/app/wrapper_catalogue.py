"""``app_template/wrappers.toml``: where vboxwrapper's releases are, and ``wrapper-pins.toml``: what they were.

Nobody publishes digests of them. The first download's is written down and required of every later one; committing the
file makes the first sight of one maintainer bind everyone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from boinc2docker import atomic
from boinc2docker.digest import Digest
from boinc2docker.errors import UsageError
from boinc2docker.formats.toml_settings import FILLED, Rule, Text, TomlFile, matching, render

_HEADER = "# Digests of vboxwrapper's binaries, seen at their first download. Written by package-app; commit it.\n"


@dataclass(frozen=True)
class Platform:
    """A platform of BOINC's: ``file`` is the binary's name with ``{version}``; ``format`` as ``binary_format`` says."""

    name: str
    title: str
    file: str
    format: str
    releases: tuple[str, ...]

    def file_name(self, version: str) -> str:
        return self.file.format(version=version)

    def version_of(self, name: str) -> str | None:
        """The release a file (or its zip) belongs to by its name; None if it is not this platform's."""
        before, after = (re.escape(part) for part in self.file.split("{version}"))
        match = re.fullmatch(f"{before}([0-9]+){after}(?:\\.zip)?", name)
        return match[1] if match else None


@dataclass(frozen=True)
class Catalogue:
    """All platforms, and the roots that have their files."""

    roots: tuple[str, ...]
    platforms: Mapping[str, Platform]

    def platform(self, name: str) -> Platform:
        """Raises UsageError that lists what there is."""
        if name not in self.platforms:
            known = ", ".join(self.platforms)
            raise UsageError("unknown-platform", f"no vboxwrapper is known for {name!r}; expected one of {known}")
        return self.platforms[name]

    def urls(self, platform: Platform, version: str) -> list[str]:
        """Where a release may be, bare or zipped, best first."""
        file = platform.file_name(version)
        return [root.format(version=version, file=file + suffix) for root in self.roots for suffix in ("", ".zip")]


FileName = Annotated[str, Rule("a file's name with {version} in it once", lambda name: name.count("{version}") == 1)]
Root = Annotated[str, matching(r"(https?|file)://.*\{file\}.*", "a URL with {file} in it")]


@dataclass(frozen=True)
class _Platform:
    """A table ``[platforms.NAME]``."""

    title: Text
    file: FileName
    format: Text
    releases: Annotated[tuple[Text, ...], FILLED]


@dataclass(frozen=True)
class _Document:
    """The file as it is."""

    roots: tuple[Root, ...]
    platforms: Mapping[str, _Platform]


_FILE = TomlFile(_Document, "bad-catalogue")
_PINS = TomlFile(dict[str, Digest], "bad-pins")


def read(path: Path) -> Catalogue:
    """Raises InputError."""
    document = _FILE.read(path)
    platforms = {
        name: Platform(name, one.title, one.file, one.format, one.releases) for name, one in document.platforms.items()
    }
    return Catalogue(document.roots, platforms)


def read_pins(path: Path) -> dict[str, Digest]:
    """Digests by file name; none if there is no file. Raises InputError."""
    return _PINS.read(path) if path.exists() else {}


def write_pins(path: Path, pins: Mapping[str, Digest]) -> None:
    """Puts the pins under ``path``, sorted by name."""
    atomic.write_text(path, render({name: str(digest) for name, digest in sorted(pins.items())}, _HEADER))
