"""Texts of a command line that become values in several commands."""

from __future__ import annotations

import contextlib
from pathlib import Path

from boinc2docker.errors import UsageError


def path(text: str, what: str) -> Path:
    """Reads a path. Raises UsageError for an empty text, as from a variable that is not set."""
    if not text:
        raise UsageError("empty-path", f"{what}: expected a path, found nothing")
    return Path(text)


def existing(text: str, what: str) -> Path:
    """Reads the path of something that is there. Raises UsageError."""
    found = path(text, what)
    if not found.exists():
        raise UsageError("no-such-file", f"{what}: there is no file or directory {text[:200]!a}")
    return found


def shown(place: Path) -> str:
    """A path as the user would type it from here."""
    with contextlib.suppress(ValueError):
        return str(place.resolve().relative_to(Path.cwd()))
    return str(place)
