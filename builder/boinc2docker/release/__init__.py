"""Releases that anyone can rebuild and check. ``make`` writes one, ``cli.verify_release`` judges one."""

from boinc2docker.release.make import Options, check, release, release_command

__all__ = ["Options", "check", "release", "release_command"]
