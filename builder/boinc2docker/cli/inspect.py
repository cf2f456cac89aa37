"""``inspect``: what is in an ISO."""

from __future__ import annotations

from boinc2docker import console, iso
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, values
from boinc2docker.cli.readers import existing

OPTIONS = (Option("iso", "ISO to look into.", "argument", read=existing, noun="ISO", required=True, group="Arguments"),)


def inspect(given: Given) -> int:
    """Shows what is in an ISO; 1 if it is ours and not intact."""
    report = iso.inspect(values(OPTIONS, given)["iso"])
    console.report(iso.report_json(report), iso.render_report(report))
    return 1 if report.problems else 0


COMMAND = Command(
    "inspect",
    inspect,
    OPTIONS,
    (Example("inspect build/boinc2docker-2.0.0.iso", "Base, versions, changes and damage, if any."),),
    "Shows the base and its versions, what was changed against the base, and whether every file has its recorded "
    "digest. Ends with 1 if one has not.",
)
