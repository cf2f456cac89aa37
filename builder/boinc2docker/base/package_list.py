"""``guest/debian/packages.toml``: which packages the base is made of, by hand, as names only.

```toml
suite = "trixie"
architecture = "amd64"

[[index]]                 # the signed indexes that are searched; the highest version over all of them wins
archive = "debian"        # or "debian-security"
suite = "trixie"

[sections.rootfs]         # one closure of dependencies for each section
packages = ["curl"]       # wanted by name
without = ["debconf"]     # dependencies that are not followed, because the guest does not need them
```
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker.base.lock import ARCHIVES
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


@dataclass(frozen=True)
class SuiteOf:
    """A suite of an archive, searched for packages."""

    archive: str
    suite: str


@dataclass(frozen=True)
class Section:
    """Packages wanted by name, and the dependencies that are left out."""

    packages: tuple[str, ...]
    without: frozenset[str]


@dataclass(frozen=True)
class PackageList:
    """The whole of packages.toml. ``digest`` covers its meaning, not its comments."""

    suite: str
    architecture: str
    indexes: tuple[SuiteOf, ...]
    sections: Mapping[str, Section]
    digest: Digest


def read(path: Path) -> PackageList:
    """Raises InputError if the file is missing or wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("bad-package-list", f"cannot read {path.name}: {error}") from error
    return parse(text, name=path.name)


def parse(text: str, *, name: str = "packages.toml") -> PackageList:
    """Raises InputError that lists everything that is wrong."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError("bad-package-list", f"{name} is not TOML: {error}") from error
    wrong = list(_faults(document))
    if wrong:
        raise InputError("bad-package-list", f"{name}: " + "; ".join(wrong))
    sections = {
        key: Section(tuple(section["packages"]), frozenset(section.get("without", ())))
        for key, section in document["sections"].items()
    }
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return PackageList(
        suite=document["suite"],
        architecture=document["architecture"],
        indexes=tuple(SuiteOf(entry["archive"], entry["suite"]) for entry in document["index"]),
        sections=sections,
        digest=Digest.of(canonical),
    )


def _faults(document: Mapping[str, Any]) -> list[str]:
    faults = [f"unknown key {key!r}" for key in document.keys() - {"suite", "architecture", "index", "sections"}]
    faults += [
        f"expected text under {key!r}" for key in ("suite", "architecture") if not isinstance(document.get(key), str)
    ]
    indexes = document.get("index")
    if not isinstance(indexes, list) or not indexes:
        faults.append("expected at least one [[index]]")
    else:
        faults += [fault for entry in indexes for fault in _index_faults(entry)]
    sections = document.get("sections")
    if not isinstance(sections, dict) or not sections:
        faults.append("expected at least one [sections.NAME]")
    else:
        faults += [f"sections.{key}: {fault}" for key, entry in sections.items() for fault in _section_faults(entry)]
    return sorted(faults)


def _index_faults(entry: Any) -> list[str]:
    if not isinstance(entry, dict) or entry.keys() != {"archive", "suite"}:
        return [f"[[index]] needs archive and suite and nothing else, found {entry!r}"]
    if entry["archive"] not in ARCHIVES:
        return [f"unknown archive {entry['archive']!r}, expected one of {', '.join(ARCHIVES)}"]
    if not isinstance(entry["suite"], str) or not re.fullmatch(r"[a-z][a-z0-9-]*", entry["suite"]):
        return [f"not a suite: {entry['suite']!r}"]
    return []


def _section_faults(entry: Any) -> list[str]:
    if not isinstance(entry, dict) or not entry.get("packages"):
        return ["expected packages = [...]"]
    faults = [f"unknown key {key!r}" for key in entry.keys() - {"packages", "without"}]
    for key in ("packages", "without"):
        names = entry.get(key, [])
        if not isinstance(names, list):
            faults.append(f"{key}: expected a list of names")
            continue
        faults += [
            f"{key}: not a package name: {name!r}"
            for name in names
            if not isinstance(name, str) or not _PACKAGE.fullmatch(name)
        ]
    return faults
