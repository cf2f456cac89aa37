"""The list of commands. What each is made of is in its module, which is imported only when the command is used."""

from __future__ import annotations

from importlib import import_module

from boinc2docker.cli.command import Command, Entry


def _entry(name: str, group: str, summary: str, module: str, attribute: str = "COMMAND") -> Entry:
    def load() -> Command:
        found = getattr(import_module(f"boinc2docker.cli.{module}"), attribute)
        assert isinstance(found, Command)  # noqa: S101 - this list's
        return found

    return Entry(name, group, summary, load)


_JOBS, _IMAGE, _PROJECT = "Jobs", "Boot image", "BOINC project"
COMMANDS: tuple[Entry, ...] = (
    _entry("run", _JOBS, "Run an image on this machine, as a volunteer's machine would.", "run"),
    _entry("submit", _JOBS, "Make a BOINC work unit, or many, of an image and a command.", "submit"),
    _entry("status", _JOBS, "Show how far jobs are.", "jobs", "COMMAND_STATUS"),
    _entry("cancel", _JOBS, "Cancel jobs that are not done.", "jobs", "COMMAND_CANCEL"),
    _entry("results", _JOBS, "List, show, export and plot what came back.", "results_command"),
    _entry("build-iso", _IMAGE, "Build the ISO that volunteers' machines boot.", "build_iso"),
    _entry("inspect", _IMAGE, "Show what is in an ISO, and whether it is intact.", "inspect"),
    _entry("customize", _IMAGE, "Write a project's settings and files into a finished ISO.", "customize"),
    _entry("diff", _IMAGE, "Explain why two ISOs differ.", "diff"),
    _entry("fetch", _IMAGE, "Download what a base needs, so that a build works offline.", "fetch"),
    _entry("verify-release", _IMAGE, "Check a release: its files, documents and signatures.", "verify_release"),
    _entry("package-app", _PROJECT, "Make a version of a BOINC app, and install it into a project.", "package_app"),
    _entry("sign-app", _PROJECT, "Sign a version's files for BOINC.", "app_signatures", "COMMAND_SIGN"),
    _entry("verify-app", _PROJECT, "Check the signatures of a version's files.", "app_signatures", "COMMAND_VERIFY"),
    _entry("store", _PROJECT, "Show, check and clean a host's image store, or a project's staged files.", "store"),
    _entry("completion", "Help", "Print a shell's completion script.", "documents", "COMMAND_COMPLETION"),
    _entry("man", "Help", "Print the manual page.", "documents", "COMMAND_MAN"),
)
"""The commands that are installed; ``tasks.py`` adds the maintainers'."""
