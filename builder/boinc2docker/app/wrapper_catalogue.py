"""``app_template/wrappers.toml``: where vboxwrapper's releases are, and ``wrapper-pins.toml``: what they were.

Nobody publishes digests of them. The first download's is written down and required of every later one; committing the
file makes the first sight of one maintainer bind everyone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import atomic
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, InputError, UsageError

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


def read(path: Path) -> Catalogue:
    """Raises InputError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        platforms = {
            name: Platform(name, str(one["title"]), str(one["file"]), str(one["format"]), tuple(one["releases"]))
            for name, one in document["platforms"].items()
        }
        wrong = [one.name for one in platforms.values() if one.file.count("{version}") != 1]
        if wrong:
            raise InputError("bad-catalogue", f"{path.name}: the file of {wrong[0]} needs one {{version}}")
        return Catalogue(tuple(str(root) for root in document["roots"]), platforms)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("bad-catalogue", f"cannot read {path}: {error!r}") from error


def read_pins(path: Path) -> dict[str, Digest]:
    """Digests by file name; none if there is no file. Raises InputError."""
    try:
        return {name: Digest.parse(str(value)) for name, value in tomllib.loads(path.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, BuilderError) as error:
        raise InputError("bad-pins", f"cannot read {path}: {error}") from error


def write_pins(path: Path, pins: Mapping[str, Digest]) -> None:
    """Puts the pins under ``path``, sorted by name."""
    atomic.write_text(path, _HEADER + "".join(f'"{name}" = "{digest}"\n' for name, digest in sorted(pins.items())))
