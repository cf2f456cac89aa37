"""The notes of a release: its section of the changelog, changed packages, sizes, and how to check it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from boinc2docker.errors import InputError
from boinc2docker.release import sizes
from boinc2docker.release.contents import Names

_HEADING = re.compile(r"^## (\d+\.\d+\.\d+)\b.*$", re.MULTILINE)


@dataclass(frozen=True)
class Previous:
    """The previous release: its version and packages."""

    version: str
    packages: Mapping[str, str]


def versions(changelog: str) -> list[str]:
    """The versions that have a section in the changelog, in its order: newest first."""
    return [match[1] for match in _HEADING.finditer(changelog)]


def section(changelog: str, version: str) -> str:
    """The changelog's section of a version. Raises InputError if there is none."""
    headings = list(_HEADING.finditer(changelog))
    ends = [heading.start() for heading in headings[1:]] + [len(changelog)]
    for match, end in zip(headings, ends, strict=False):
        if match[1] == version:
            text = changelog[match.end() : end].strip()
            if text:
                return text
    raise InputError(
        "no-changelog", f"CHANGELOG.md has no section of {version}", hint=f"write one below a heading `## {version}`"
    )


def changed_packages(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """One line for each package that was added, removed or updated, sorted by name."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None:
            lines.append(f"{name} {new} (new)")
        else:
            lines.append(f"{name} {old} (gone)" if new is None else f"{name} {old} → {new}")
    return lines


def render(
    names: Names,
    changelog: str,
    packages: Mapping[str, str],
    previous: Previous | None,
    parts: Mapping[str, int],
    *,
    commit: str,
) -> str:
    """The notes as Markdown."""
    if previous is None:
        changes = f"The first release: {len(packages)} Debian packages, listed in `{names.cyclonedx}`."
    else:
        lines = changed_packages(previous.packages, packages)
        listed = "\n".join(f"* {line}" for line in lines) if lines else "None changed."
        changes = f"Against {previous.version}:\n\n{listed}"
    return f"""# boinc2docker {names.version}

{section(changelog, names.version)}

## Debian packages

{changes}

## Size

{sizes.table(parts)}

## Check it

    sha256sum --check SHA256SUMS
    ci/invoke verify-release DIR --rebuild

The second, in a checkout of commit `{commit}`, builds everything again and compares. Who made it only a
signature tells: `--key KEY` with the public key as you have it from elsewhere; one that lies here
anybody can replace.
"""
