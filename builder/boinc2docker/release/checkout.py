"""The checkout that a release is made from: clean, at one commit, and of the requested version."""

from __future__ import annotations

import tomllib
from pathlib import Path

from boinc2docker import __version__, places
from boinc2docker import programs as command
from boinc2docker.base import lock as locks
from boinc2docker.base.debian.reading import IN_IMAGE
from boinc2docker.base.lock import Lock
from boinc2docker.digest import Digest
from boinc2docker.errors import CommandError, InputError, UsageError
from boinc2docker.release import notes
from boinc2docker.release.notes import Previous
from boinc2docker.release.provenance import Source

LOCK = "guest/debian/packages.lock"


def source(root: Path | None = None) -> Source:
    """The checked-out commit. Raises InputError if anything differs from it."""
    root = root or places.require_checkout("release")
    changed = git(root, "status", "--porcelain").splitlines()
    if changed:
        raise InputError(
            "not-clean",
            f"the checkout differs from its commit in {len(changed)} files, such as {changed[0][3:]}",
            hint="commit them, or make the release in a fresh clone",
        )
    pins = [LOCK, *sorted(path.relative_to(root).as_posix() for path in (root / "ci").glob("*.lock"))]
    return Source(
        commit=git(root, "rev-parse", "HEAD").strip(),
        tree=git(root, "rev-parse", "HEAD^{tree}").strip(),
        files={name: Digest.of_file(root / name) for name in pins},
    )


def require_version(version: str, root: Path | None = None) -> None:
    """Raises UsageError unless the checkout has this version."""
    root = root or places.require_checkout("release")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for where, found in (("builder/boinc2docker/__init__.py", __version__), ("pyproject.toml", project)):
        if found != version:
            raise UsageError(
                "other-version",
                f"--version: expected {found}, as {where} says, found {version}",
                hint="a release has the version of its checkout",
            )


def changelog(root: Path | None = None) -> str:
    """CHANGELOG.md. Raises InputError."""
    try:
        return ((root or places.require_checkout("release")) / "CHANGELOG.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("no-changelog", f"cannot read CHANGELOG.md: {error}") from error


def previous(version: str, text: str, root: Path | None = None) -> Previous | None:
    """The release before ``version`` in the changelog, with the packages of its tag; None if there is none.

    Out of the repository and nothing else, so that everybody writes the same notes. Raises InputError without the tag.
    """
    root = root or places.require_checkout("release")
    known = notes.versions(text)
    later = known[known.index(version) + 1 :] if version in known else []
    if not later:
        return None
    try:
        lock = locks.parse(git(root, "show", f"v{later[0]}:{LOCK}"), name=f"the lock of {later[0]}")
    except CommandError as error:
        raise InputError(
            "no-tag",
            f"the changelog names the release {later[0]}, but the checkout has no tag v{later[0]} with a {LOCK}",
            hint="git fetch --tags",
        ) from error
    return Previous(later[0], in_image(lock))


def in_image(lock: Lock) -> dict[str, str]:
    """Version by name of the packages in the ISO."""
    return {package.name: package.version for package in lock.packages if set(package.sections) & set(IN_IMAGE)}


def archive(root: Path | None = None) -> bytes:
    """The commit's files as a tar archive."""
    return command.run(["git", "archive", "--format=tar", "HEAD"], cwd=root or places.require_checkout("release"))


def git(root: Path, *words: str) -> str:
    """The output of a git command. Raises CommandError, HostError."""
    return command.run(["git", *words], cwd=root).decode("utf-8", "replace")
