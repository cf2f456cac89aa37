"""Describes a refreshed lock in Markdown for a reviewer: security updates first, with the CVEs they name."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

from debian.debian_support import Version

from boinc2docker.base import deb_member
from boinc2docker.base.lock import Change, Lock, LockedPackage
from boinc2docker.errors import InputError

SECURITY = "debian-security"
_ENTRY = re.compile(r"^\S+ \(([^)\s]+)\) .*;.*$", re.MULTILINE)
_CVE = re.compile(r"\bCVE-\d{4}-\d{4,}\b")
_DOC = "usr/share/doc"


def from_security(before: Lock | None, after: Lock) -> list[LockedPackage]:
    """The new or updated packages from the security archive, without those that only moved there."""
    known = {(old.name, old.version, old.digest) for old in before.packages} if before else set()
    urgent = (package for package in after.packages if package.archive == SECURITY)
    return [package for package in urgent if (package.name, package.version, package.digest) not in known]


def fixed(changelog: str, since: str) -> list[str]:
    """The CVEs that entries of a Debian changelog newer than the source version ``since`` name, sorted."""
    found: set[str] = set()
    entries = list(_ENTRY.finditer(changelog))
    ends = [entry.start() for entry in entries[1:]] + [len(changelog)]
    for entry, end in zip(entries, ends, strict=False):
        try:
            newer = Version(entry[1]) > Version(since)
        except ValueError:
            continue
        if newer:
            found |= set(_CVE.findall(changelog[entry.end() : end]))
    return sorted(found, key=lambda name: [int(part) for part in name.split("-")[1:]])


def changelog(deb: Path, name: str) -> str:
    """A package's Debian changelog; empty if it has none. Raises InputError for a damaged package."""
    found = deb_member.find(deb, name, {f"{_DOC}/{name}/changelog.Debian.gz", f"{_DOC}/{name}/changelog.gz"})
    if found is None or found.target is not None:
        return ""
    try:
        return gzip.decompress(found.data).decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError("bad-package", f"cannot read the changelog of {name}: {error}") from error


def fixes(before: Lock | None, debs: Mapping[LockedPackage, Path]) -> dict[str, list[str]]:
    """CVEs by package, from the packages' changelogs; ``debs`` are those from the security archive."""
    packages = before.packages if before else ()
    names = {package.name: package.source_version for package in packages}
    sources = {package.source: package.source_version for package in packages}
    found = {}
    for package, deb in debs.items():
        # A kernel's name has its ABI in it: an update is a package of another name, but of the same source.
        since = names.get(package.name, sources.get(package.source))
        if since is not None:
            found[package.name] = fixed(changelog(deb, package.name), since)
    return found


def render(
    before: Lock | None, changes: list[Change], security: list[LockedPackage], cves: Mapping[str, list[str]]
) -> str:
    """The report. A removed package is listed with its source's new one."""
    sources = {package.source for package in security}
    gone = {change.name for change in changes if change.after is None}
    old = [package for package in before.packages if package.name in gone] if before else []
    urgent = {package.name for package in security} | {package.name for package in old if package.source in sources}
    first = [_line(change, cves) for change in changes if change.name in urgent]
    others = [_line(change, {}) for change in changes if change.name not in urgent]
    sections = [("From the security archive", first), ("Other packages", others)]
    body = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections if lines)
    return (body or "No package changed.") + "\n\nBuilt from the signed index and booted before this was opened.\n"


def _line(change: Change, cves: Mapping[str, list[str]]) -> str:
    named = cves.get(change.name)
    return f"* {change}" + (f": {', '.join(named)}" if named else "")
