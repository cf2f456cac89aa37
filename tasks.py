"""The commands: ``ci/invoke --list`` names them, ``ci/invoke --help COMMAND`` explains one.

Each is a few lines here; what it does is in ``builder.commands`` and the parts behind it.
"""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context

from builder import commands
from builder.program import command

JSON = "print one JSON object on stdout and nothing else there"
DEBUG = "show a traceback when something fails"
BASE = "a name of guest/bases.toml (default: debian), a path or a URL"
MIRROR = (
    "Debian mirror to use (default: $BOINC2DOCKER_DEBIAN_MIRROR, else this machine's apt sources, else public ones)"
)
SECURITY = "the same for security updates ($BOINC2DOCKER_DEBIAN_SECURITY_MIRROR)"
LOCKED = "fail rather than change a lock or a pin"
TALK = {"json": JSON, "debug": DEBUG}


def path(text: str | None) -> Path | None:
    """An optional path option."""
    return Path(text) if text else None


@command(
    help={
        "base": BASE,
        "sha256": "digest the base must have",
        "output": "where to write (default: build/boinc2docker-VERSION.iso)",
        "locked": LOCKED,
        "offline": "use the cache only, open no connection",
        "mirror": MIRROR,
        "security_mirror": SECURITY,
        **TALK,
    }
)
def build_iso(
    c: Context,
    base: str | None = None,
    sha256: str | None = None,
    output: str | None = None,
    locked: bool = False,
    offline: bool = False,
    mirror: str | None = None,
    security_mirror: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Builds the ISO that volunteers' machines boot: a base with the job agent in it.

    The first build downloads Debian's packages and packs them (minutes); later ones take about a second.
    """
    commands.build_iso(
        base,
        sha256=sha256,
        output=path(output),
        locked=locked,
        offline=offline,
        mirror=mirror,
        security_mirror=security_mirror,
    )


@command(help={"base": BASE, "locked": LOCKED, "mirror": MIRROR, "security_mirror": SECURITY, **TALK})
def fetch(
    c: Context,
    base: str | None = None,
    locked: bool = False,
    mirror: str | None = None,
    security_mirror: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Downloads what a base needs into the cache, so that a build works offline."""
    commands.fetch(base, locked=locked, mirror=mirror, security_mirror=security_mirror)


@command(help={"mirror": MIRROR, "security_mirror": SECURITY, **TALK})
def update_base(
    c: Context,
    mirror: str | None = None,
    security_mirror: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Refreshes guest/debian/packages.lock from Debian's signed index and prints what changed."""
    commands.update_base(mirror=mirror, security_mirror=security_mirror)
