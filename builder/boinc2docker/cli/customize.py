"""``customize``: a project's settings and files in a finished ISO."""

from __future__ import annotations

from boinc2docker import console, iso
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, group, values
from boinc2docker.cli.readers import existing
from boinc2docker.errors import UsageError

OPTIONS = (
    Option(
        "iso",
        "ISO made by build-iso; it is changed in place.",
        "argument",
        read=existing,
        noun="ISO",
        required=True,
        group="Arguments",
    ),
    *group(
        "Changes",
        Option(
            "set",
            "Set REGISTRY_MIRROR, HTTP_PROXY, HTTPS_PROXY, NO_PROXY or STORE_BUDGET_MB.",
            kind="list",
            noun="KEY=VALUE",
        ),
        Option(
            "add",
            "Put a file at PATH in the guest, or a script that runs before or after each job: FILE:hook:before-job, "
            "FILE:hook:after-job.",
            kind="list",
            noun="FILE:PATH",
        ),
        Option("remove", "Remove a setting, a path or a hook.", kind="list", noun="NAME"),
        Option("reset", "Remove everything; the ISO has its released bytes again.", kind="flag"),
    ),
    Option("show", "Show what was changed, and change nothing.", kind="flag", group="Output"),
)


def customize(given: Given) -> None:
    """Changes or shows a project's settings in an ISO."""
    typed = values(OPTIONS, given)
    changes = any(typed[name] for name in ("set", "add", "remove", "reset"))
    if typed["show"] and changes:
        raise UsageError("show-and-change", "--show changes nothing; expected it alone")
    if not typed["show"] and not changes:
        raise UsageError("nothing-to-do", "expected --set, --add, --remove, --reset or --show")
    if typed["show"]:
        done = iso.show(typed["iso"])
    else:
        done = iso.customize(
            typed["iso"],
            settings=iso.parse_settings(typed["set"]),
            add=typed["add"],
            remove=typed["remove"],
            reset=typed["reset"],
        )
    console.report(iso.customisation_json(done), iso.render_customisation(done))


COMMAND = Command(
    "customize",
    customize,
    OPTIONS,
    (
        Example("customize --set HTTP_PROXY=http://proxy.example:3128 build/boinc2docker-2.0.0.iso", "Add a setting."),
        Example("customize --show build/boinc2docker-2.0.0.iso", "Show what was changed."),
        Example("customize --reset build/boinc2docker-2.0.0.iso", "Restore the released bytes."),
    ),
    "An ISO has a reserved area for a project's own settings, so that no build is needed to change them.",
)
