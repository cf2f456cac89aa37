"""``package-app``: a version of a BOINC app, packaged and installed."""

from __future__ import annotations

from collections.abc import Callable

from boinc2docker import app
from boinc2docker.app.install import PARTS
from boinc2docker.cli.build_iso import default_iso
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, group, values
from boinc2docker.cli.readers import existing
from boinc2docker.errors import UsageError
from boinc2docker.results.settings_check import check_settings
from boinc2docker.sizes import parse_bytes

SIZES = {name: name.removesuffix("_mb") for name in app.FIELDS if name.endswith("_mb")} | {
    "results_mb": "results_size",
    "log_mb": "log_size",
    "validator_file_mb": "validator_file_size",
}
"""The options that take sizes, by the settings of app.toml that are in MB."""


def _megabytes(field: app.Field) -> Callable[[str, str], str]:
    """Reads a size as the whole number of MB that app.toml has; a bare number is MB."""

    def read(text: str, what: str) -> str:
        size = int(text) << 20 if text.isdecimal() and len(text) < 10 else parse_bytes(text, what)
        if size % (1 << 20) or not field.low <= size >> 20 <= field.high:
            raise UsageError(
                "bad-size",
                f"{what}: expected whole megabytes from {field.low}MB to {field.high}MB, found {text[:80]!a}",
            )
        return str(size >> 20)

    return read


def _settings() -> tuple[Option, ...]:
    """An option for every setting of app.toml."""
    found = []
    for name, field in app.FIELDS.items():
        size = name in SIZES
        found.append(
            Option(
                SIZES.get(name, name),
                f"{field.help[0].upper()}{field.help[1:]}.".replace(" in MB.", ", such as 2GB; a bare number is MB."),
                read=_megabytes(field) if size else None,
                noun="SIZE" if size else {int: "N", bool: "true|false"}.get(field.kind, "TEXT"),
                aliases=(f"--{name.replace('_', '-')}",) if size else (),
                group="Settings of app.toml",
            )
        )
    return tuple(found)


OPTIONS = (
    *group(
        "Version",
        Option("version", "Version, with two digits after the dot, such as 1.02.", noun="X.YY"),
        Option(
            "settings",
            "An app.toml of this app's own; what it does not say comes from app_template/app.toml.",
            read=existing,
            noun="FILE",
        ),
        Option("iso", "ISO to ship (default: the one that build-iso made).", read=existing, noun="FILE"),
        Option("wrapper", "vboxwrapper: a release such as 26212, or a directory with its files.", noun="RELEASE|DIR"),
        Option(
            "platform",
            "Package only this platform: x86_64-pc-linux-gnu, windows_x86_64 or x86_64-apple-darwin.",
            kind="list",
            noun="NAME",
        ),
    ),
    *group(
        "Project",
        Option(
            "project",
            "BOINC project to install into (default: $PROJHOME, $BOINC_PROJECT_DIR, else none).",
            read=existing,
            noun="DIR",
        ),
        Option(
            "dont_install",
            f"Leave this part of the project alone: {', '.join(PARTS)}.",
            kind="list",
            noun="PART",
        ),
        Option("run", "Also run bin/xadd and bin/update_versions, and say what became of each platform.", kind="flag"),
        Option(
            "roll_back",
            "Do nothing but go back to what was installed on the server before, or to what --version installed last.",
            kind="flag",
        ),
        Option("dry_run", "Show everything that would be done, and change nothing.", kind="flag"),
    ),
    *group(
        "Network",
        Option("download_only", "Download vboxwrapper and stop.", kind="flag"),
        Option("offline", "Use only the cache; open no connection.", kind="flag"),
    ),
    *_settings(),
)


def package_app(given: Given) -> int:
    """Packages, and installs if there is a project; returns the exit code. Raises BuilderErrors."""
    typed = values(OPTIONS, given)
    names = ("version", "wrapper", "platform", "project", "dont_install", "run", "roll_back", "dry_run", "offline")
    return app.package_app(
        app.Options(
            iso=typed["iso"] or default_iso(),
            own_settings=typed["settings"],
            settings={name: typed[SIZES.get(name, name)] for name in app.FIELDS},
            check_results=check_settings,
            download_only=typed["download_only"],
            **{name: typed[name] for name in names},
        )
    )


COMMAND = Command(
    "package-app",
    package_app,
    OPTIONS,
    (
        Example("package-app --version 1.02", "Make a version and a tarball of it."),
        Example(
            "package-app --version 1.02 --project ~/projects/sample --dry-run", "Show what would change, as a diff."
        ),
        Example(
            "package-app --version 1.02 --project ~/projects/sample --run", "Install it and register it with BOINC."
        ),
        Example("package-app --roll-back --project ~/projects/sample", "Run the programs of the version before again."),
        Example("package-app --version 1.00 --settings app_template/examples/pi/app.toml", "Another app."),
    ),
    "A version has vboxwrapper, the ISO and a blank data disk for Linux, Windows and macOS.",
)
