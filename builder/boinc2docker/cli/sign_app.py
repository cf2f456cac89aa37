"""``sign-app`` and ``verify-app``."""

from __future__ import annotations

from pathlib import Path

from boinc2docker import console
from boinc2docker.app import signing
from boinc2docker.errors import UsageError


def sign(directory: Path, key: str | None) -> None:
    """Signs every file of a version and says how many. Raises InputError."""
    private = signing.load_private(Path(_required(key)))
    written = signing.sign_directory(directory, private)
    console.report(
        {"directory": str(directory), "signatures": [str(path) for path in written]},
        f"{directory}: {len(written)} files signed; check with verify-app and the public key",
    )


def verify(directory: Path, key: str | None) -> int:
    """Checks every file's signature; 1 if one is missing or wrong. Raises InputError."""
    found = signing.verify_directory(directory, signing.load_public(Path(_required(key))))
    console.report(
        {"directory": str(directory), "files": {str(one.path): one.state for one in found}},
        "\n".join(f"{one.state:8} {one.path}" for one in found),
    )
    return 0 if found and all(one.state == "ok" for one in found) else 1


def _required(key: str | None) -> str:
    if not key:
        raise UsageError("no-key", "expected --key FILE")
    return key
