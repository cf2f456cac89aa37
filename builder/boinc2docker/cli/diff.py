"""``diff``: why two ISOs differ."""

from __future__ import annotations

from boinc2docker import console, iso
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, values
from boinc2docker.cli.readers import existing

OPTIONS = (
    Option("first", "An ISO.", "argument", read=existing, noun="ISO", required=True, group="Arguments"),
    Option("second", "The other ISO.", "argument", read=existing, noun="ISO", required=True, group="Arguments"),
    Option("quick", "Do not look into squashfs files, and do not run diffoscope.", kind="flag"),
)


def diff(given: Given) -> int:
    """Explains how two ISOs differ; 1 if they do."""
    typed = values(OPTIONS, given)
    found = iso.compare(typed["first"], typed["second"], deep=not typed["quick"])
    console.report(iso.difference_json(found), iso.render_difference(found))
    return 0 if found.same else 1


COMMAND = Command(
    "diff",
    diff,
    OPTIONS,
    (Example("diff dist/2.0.0/boinc2docker-2.0.0.iso build/boinc2docker-2.0.0.iso", "A release against your build."),),
    "Compares files, packages, boot configuration, and the contents of initramfs and squashfs. Uses diffoscope where "
    "it is installed. Ends with 1 if the ISOs differ.",
)
