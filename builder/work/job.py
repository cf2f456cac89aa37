"""A job: which image, what to run in it, with which files. Nothing in here knows of VirtualBox or QEMU."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from builder.errors import InputError, UsageError
from builder.work.environment import Variables
from builder.work.image import Image
from builder.work.inputs import Input

NETWORKS = ("bridge", "host", "none")
_USER = re.compile(r"[^\s:]+(:[^\s:]+)?")


@dataclass(frozen=True)
class Job:
    """What a user asks for, before the image is known. ``command`` are the words for the container.

    ``entrypoint`` None keeps the image's, ``""`` clears it, as for Docker. Raises InputError for values that cannot
    work.
    """

    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    environment: Variables = ()
    workdir: str | None = None
    user: str | None = None
    network: str | None = None
    inputs: tuple[Input, ...] = ()
    keep_failed_results: bool = False

    def __post_init__(self) -> None:
        if self.workdir is not None and not self.workdir.startswith("/"):
            raise InputError("bad-workdir", f"--workdir: expected an absolute path, found {self.workdir[:80]!r}")
        if self.user is not None and not _USER.fullmatch(self.user):
            raise InputError("bad-user", f"--user: expected USER[:GROUP], found {self.user[:80]!r}")
        if self.network is not None and self.network not in NETWORKS:
            raise InputError("bad-network", f"--network: expected {', '.join(NETWORKS)}, found {self.network[:80]!r}")


def command_words(command: str | None, words: Sequence[str] | None) -> tuple[str, ...]:
    """The words for the container from CMD, one shell-quoted string, or from what follows ``--``, taken as they are.

    Raises UsageError if there are both or if quotes in CMD do not close.
    """
    if command is not None and words:
        raise UsageError("two-commands", "there is a command both before and after --", hint="give it once")
    if words:
        return tuple(words)
    try:
        return tuple(shlex.split(command or ""))
    except ValueError as error:
        raise UsageError(
            "bad-command",
            f"the command cannot be split into words: {str(error).lower()}",
            hint="close every quote, or give the words after --, where nothing is interpreted",
        ) from error


def require_program(job: Job, image: Image) -> None:
    """Raises InputError unless job and image together say what to run; Docker's rules for what replaces what."""
    program: tuple[str, ...]
    if job.entrypoint is None:
        program = image.entrypoint + (job.command or image.command)
    else:
        program = ((job.entrypoint,) if job.entrypoint else ()) + job.command
    if not program or not program[0]:
        raise InputError(
            "empty-command",
            f"there is nothing to run: no command is given, and the image {image.name} has none of its own",
            hint="add a command: IMAGE CMD, or IMAGE -- WORD…",
        )
