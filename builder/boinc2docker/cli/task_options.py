"""What the commands' options have in common: their help texts, and paths out of texts."""

from __future__ import annotations

from pathlib import Path

JSON = "print one JSON object on stdout and nothing else there"
DEBUG = "show a traceback when something fails"
BASE = "a name of guest/bases.toml (default: debian), a path or a URL"
MIRROR = (
    "Debian mirror to use (default: $BOINC2DOCKER_DEBIAN_MIRROR, else this machine's apt sources, else public ones)"
)
SECURITY = "the same for security updates ($BOINC2DOCKER_SECURITY_MIRROR)"
LOCKED = "fail rather than change a lock or a pin"
TALK = {"json": JSON, "debug": DEBUG}


def path(text: str | None) -> Path | None:
    """An optional path option."""
    return Path(text) if text else None
