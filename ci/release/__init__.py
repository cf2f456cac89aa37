"""A release: what anybody can rebuild and check. ``make`` writes one, ``verify_command`` judges one."""

from ci.release.make import Options, release, release_command
from ci.release.verify_command import verify

__all__ = ["Options", "release", "release_command", "verify"]
