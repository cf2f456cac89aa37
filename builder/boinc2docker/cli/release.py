"""The commands about releases, which ``tasks.py`` takes over: make one, check one, explain why two ISOs differ."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context

from boinc2docker import extras, places
from boinc2docker.cli import image as commands
from boinc2docker.cli.program import command
from boinc2docker.cli.task_options import MIRROR, SECURITY, TALK, path


@command(
    positional=["first", "second"],
    help={
        "first": "an ISO",
        "second": "another one",
        "quick": "do not look into squashfs files, and do not ask diffoscope",
        **TALK,
    },
)
def diff(c: Context, first: str, second: str, quick: bool = False, json: bool = False, debug: bool = False) -> int:
    """Explains why two ISOs differ: files, packages, boot configuration, inside initramfs and squashfs.

    Exits with 1 if they do. Uses diffoscope where it is installed.
    """
    return commands.diff(Path(first), Path(second), quick=quick)


@command(
    help={
        "version": "the version of this checkout, such as 2.0.0",
        "output": "where the release goes (default: dist/VERSION)",
        "previous": "an earlier release's directory or identity file (default: the tag of the changelog's one before)",
        "key": "a secret key of minisign to sign with",
        "mirror": MIRROR,
        "security_mirror": SECURITY,
        **TALK,
    }
)
def release(
    c: Context,
    version: str,
    output: str | None = None,
    previous: str | None = None,
    key: str | None = None,
    mirror: str | None = None,
    security_mirror: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Makes a release: the ISO, built twice and booted, with list of parts, provenance, notes and digests.

    The checkout has to be clean. Anybody who makes it from the same commit gets the same SHA256SUMS.
    """
    places.require_checkout("release")
    extras.bring("test")  # it also measures, with what tests need
    from boinc2docker import release as releasing  # only here: its libraries are not there before

    releasing.release_command(
        releasing.Options(version, path(output), path(previous), path(key), mirror, security_mirror)
    )


@command(
    positional=["directory"],
    help={
        "directory": "a release, such as dist/2.0.0",
        "key": "the public key of minisign, or its file, that must have signed (default: this checkout's minisign.pub)",
        "unsigned": "it is not signed yet: ask for no signature",
        "rebuild": "build it again from this checkout and compare",
        "previous": "rebuild: what `release --previous` was given",
        **TALK,
    },
)
def verify_release(
    c: Context,
    directory: str,
    key: str | None = None,
    unsigned: bool = False,
    rebuild: bool = False,
    previous: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> int:
    """Checks a release: every byte of it, its documents against the ISO, its signatures. Names what was changed."""
    extras.bring("release")
    extras.need("release", "verify-release")
    from boinc2docker.cli.verify_release import verify  # only here: its libraries are not there before

    return verify(Path(directory), key=key, rebuild=rebuild, previous=path(previous), unsigned=unsigned)
