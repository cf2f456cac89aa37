"""Options of the commands that obtain a base."""

from __future__ import annotations

from boinc2docker.cli.option import Option, group

BASE = Option("base", "A name in guest/bases.toml (default: debian), a path or a URL.", noun="BASE", group="Base")
LOCKED = Option("locked", "Fail instead of changing a lock or a pin.", kind="flag", group="Base")
OFFLINE = Option("offline", "Use only the cache; open no connection.", kind="flag", group="Network")
MIRRORS = group(
    "Network",
    Option(
        "mirror",
        "Debian mirror (default: $BOINC2DOCKER_DEBIAN_MIRROR, else the apt sources of this machine, else public ones).",
        noun="URL",
    ),
    Option(
        "security_mirror",
        "Debian mirror for security updates (default: $BOINC2DOCKER_SECURITY_MIRROR, else as for --mirror).",
        noun="URL",
    ),
)
