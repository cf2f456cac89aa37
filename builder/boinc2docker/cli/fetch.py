"""``fetch``: what a base needs, into the cache."""

from __future__ import annotations

from boinc2docker import base, console
from boinc2docker.cli.base_options import BASE, LOCKED, MIRRORS
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import values
from boinc2docker.typed import command

OPTIONS = (BASE, LOCKED, *MIRRORS)


def fetch(given: Given) -> None:
    """Brings what a base needs into the cache."""
    typed = values(OPTIONS, given)
    with console.step(f"Fetch {typed['base'] or 'debian'}"):
        sources = base.Sources(mirror=typed["mirror"], security_mirror=typed["security_mirror"])
        found = base.fetch(typed["base"], locked=typed["locked"], sources=sources)
    console.report(
        {"base": found.name, "files": found.files, "bytes": found.bytes},
        f"{found.name}: {found.files} files, {found.bytes / 1e6:.1f} MB in the cache; "
        f"`{command('build-iso', '--offline')}` works from now on",
    )


COMMAND = Command(
    "fetch",
    fetch,
    OPTIONS,
    (Example("fetch", "Fill the cache, so that `build-iso --offline` works."),),
)
