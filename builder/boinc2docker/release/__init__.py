"""Releases that anyone can rebuild and check. ``make`` writes one, ``cli.verify_release`` judges one."""

from boinc2docker.release.make import Options, release, release_command

__all__ = ["Options", "release", "release_command"]
