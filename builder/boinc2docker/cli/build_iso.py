"""``build-iso``: a base with the job agent in it."""

from __future__ import annotations

import re
import time
from pathlib import Path

from boinc2docker import __version__, base, console, iso, places
from boinc2docker.cli.base_options import BASE, LOCKED, MIRRORS, OFFLINE
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, values
from boinc2docker.cli.readers import path, shown
from boinc2docker.digest import Digest


def default_iso(base_name: str | None = None) -> Path:
    """Where ``build-iso`` writes unless told: the plain name is the default base's."""
    name = Path(base_name).name.removesuffix(".iso") if base_name not in (None, "debian") else ""
    mark = f"-{re.sub(r'[^A-Za-z0-9._-]', '_', name)}" if name else ""
    return places.output() / f"boinc2docker-{__version__}{mark}.iso"


OPTIONS = (
    BASE,
    Option(
        "sha256",
        "Digest that the base must have.",
        read=lambda text, _: Digest.parse(text),
        noun="HEX",
        group="Base",
    ),
    LOCKED,
    OFFLINE,
    *MIRRORS,
    Option(
        "output",
        "File to write (default: boinc2docker-VERSION.iso; in a checkout below build/).",
        read=path,
        noun="FILE",
        group="Output",
    ),
)


def build_iso(given: Given) -> None:
    """Obtains the base, remasters it, says what came out."""
    typed = values(OPTIONS, given)
    began = time.monotonic()
    spec = typed["base"]
    target = typed["output"] or default_iso(spec)
    with console.step(f"Base {spec or 'debian'}"):
        names = ("sha256", "locked", "offline", "mirror", "security_mirror")
        found = base.obtain(spec, **{name: typed[name] for name in names})
    with console.step(f"Remaster to {shown(target)}"):
        identity = iso.BaseIdentity(found.name, found.digest, found.facts)
        made = iso.remaster(found.path, target, base=identity, version=__version__, epoch=found.epoch)
    seconds = round(time.monotonic() - began, 1)
    console.report(
        {
            "iso": str(made.path),
            "sha256": made.digest.hex,
            "bytes": made.bytes,
            "base": found.name,
            "base_sha256": found.digest.hex,
            "seconds": seconds,
        },
        f"{shown(made.path)}\n"
        f"  sha256  {made.digest.hex}\n"
        f"  size    {made.bytes / 1e6:.1f} MB\n"
        f"  base    {found.name} ({found.digest})\n"
        f"  time    {seconds} s",
    )


COMMAND = Command(
    "build-iso",
    build_iso,
    OPTIONS,
    (
        Example("build-iso", "The ISO of the default base, built from Debian's packages."),
        Example("build-iso --offline --locked", "The same bytes from the cache alone; see `fetch`."),
        Example("build-iso --base boot2docker", "From boot2docker's last release."),
    ),
    "The first build downloads and packs Debian's packages, which takes minutes; later ones take about a second. "
    "Builds of the same commit give the same bytes.",
)
