"""``guest/debian/packages.toml``: the packages of the base, listed by hand, as names only.

```toml
suite = "trixie"
architecture = "amd64"

[[index]]                 # the signed indexes that are searched; the highest version over all of them wins
archive = "debian"        # or "debian-security"
suite = "trixie"

[sections.rootfs]         # each section has a closure of dependencies
packages = ["curl"]       # wanted by name
without = ["debconf"]     # dependencies that are not followed, because the guest does not need them
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from boinc2docker.base.lock import Archive
from boinc2docker.digest import Digest
from boinc2docker.formats.toml_settings import FILLED, Rule, Text, TomlFile, matching

Suite = Annotated[str, matching(r"[a-z][a-z0-9-]*", "the name of a suite")]
PackageName = Annotated[str, matching(r"[a-z0-9][a-z0-9+.-]+", "the name of a package")]


@dataclass(frozen=True)
class SuiteOf:
    """A suite of an archive, searched for packages."""

    archive: Archive
    suite: Suite


@dataclass(frozen=True)
class Section:
    """Packages wanted by name, and dependencies to leave out."""

    packages: Annotated[tuple[PackageName, ...], FILLED]
    without: tuple[PackageName, ...] = ()


@dataclass(frozen=True)
class PackageList:
    """The content of packages.toml. ``digest`` covers its values, not its comments."""

    suite: str
    architecture: str
    indexes: tuple[SuiteOf, ...]
    sections: Mapping[str, Section]
    digest: Digest


@dataclass(frozen=True)
class _Document:
    """The whole file."""

    suite: Text
    architecture: Text
    index: Annotated[tuple[SuiteOf, ...], Rule("at least one [[index]]", bool)]
    sections: Annotated[Mapping[str, Section], Rule("at least one [sections.NAME]", bool)]


_FILE = TomlFile(_Document, "bad-package-list")


def read(path: Path) -> PackageList:
    """Raises InputError if the file is missing or wrong."""
    return _list(_FILE.document(path), path.name)


def parse(text: str, *, name: str = "packages.toml") -> PackageList:
    """Raises InputError that lists everything that is wrong."""
    return _list(_FILE.load(text, name), name)


def _list(tables: Mapping[str, Any], name: str) -> PackageList:
    document = _FILE.structure(tables, name)
    canonical = json.dumps(tables, sort_keys=True, separators=(",", ":")).encode()
    return PackageList(
        suite=document.suite,
        architecture=document.architecture,
        indexes=document.index,
        sections=document.sections,
        digest=Digest.of(canonical),
    )
