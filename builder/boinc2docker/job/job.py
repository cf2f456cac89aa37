"""A job: what to run in which image, with which files. Independent of VirtualBox and QEMU."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from boinc2docker.errors import InputError, UsageError
from boinc2docker.image.image import Image
from boinc2docker.job.inputs import Input, check_name, check_together
from boinc2docker.job.remote_input import RemoteInput
from boinc2docker.job.variables import Variables

NETWORKS = ("bridge", "host", "none")
SHARED = "/root/shared"
"""The job's directory in the container."""
_USER = re.compile(r"[^\s:]+(:[^\s:]+)?")
_CPUS = re.compile(r"(\d{1,2})(\.\d{1,9})?|\.\d{1,9}", re.ASCII)
_HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9.-]{1,63}(?<![-.])")
_CAPABILITY = re.compile(r"[A-Za-z_]{1,40}")
_LIMITS = "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"
_ULIMIT = re.compile(rf"({_LIMITS.replace(' ', '|')})=(-1|\d{{1,18}})(:(-1|\d{{1,18}}))?", re.ASCII)
_MAX_SCRIPT = 1 << 16


@dataclass(frozen=True)
class Job:
    """A job as the user requests it, before the image is known. ``command`` are the words for the container.

    ``entrypoint`` None keeps the image's, ``""`` clears it, as for Docker; ``cpus`` (a decimal number) and
    ``shm_size`` (bytes) are limits of the container. ``prerun`` and ``postrun`` are shell text that the machine runs
    before and after the container, in the job's directory. ``progress_file`` is a file below it into which the
    container writes a number from 0 to 1; None is ``progress``. Raises InputError for values that cannot work.
    """

    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    environment: Variables = ()
    workdir: str | None = None
    user: str | None = None
    network: str | None = None
    inputs: tuple[Input, ...] = ()
    keep_failed_results: bool = False
    cpus: str | None = None
    shm_size: int | None = None
    init: bool = False
    read_only: bool = False
    tmpfs: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    ulimit: tuple[str, ...] = ()
    hostname: str | None = None
    prerun: str = ""
    postrun: str = ""
    progress_file: str | None = None
    remote_inputs: tuple[RemoteInput, ...] = ()

    def __post_init__(self) -> None:
        self._check_container()
        self._check_limits()
        for name, text in (("prerun", self.prerun), ("postrun", self.postrun)):
            if "\0" in text or len(text.encode(errors="replace")) > _MAX_SCRIPT:
                raise InputError(f"bad-{name}", f"--{name}: expected shell text of at most {_MAX_SCRIPT} bytes")
        if self.progress_file is not None and self.progress_file != "progress":
            check_name(self.progress_file, "--progress-file")
        check_together((*self.inputs, *self.remote_inputs))

    def _check_container(self) -> None:
        if self.workdir is not None and not self.workdir.startswith("/"):
            raise InputError("bad-workdir", f"--workdir: expected an absolute path, found {self.workdir[:80]!r}")
        if self.user is not None and not _USER.fullmatch(self.user):
            raise InputError("bad-user", f"--user: expected USER[:GROUP], found {self.user[:80]!r}")
        if self.network is not None and self.network not in NETWORKS:
            raise InputError("bad-network", f"--network: expected {', '.join(NETWORKS)}, found {self.network[:80]!r}")
        if self.hostname is not None and not _HOSTNAME.fullmatch(self.hostname):
            raise InputError(
                "bad-hostname", f"--hostname: expected letters, digits, - and ., found {self.hostname[:80]!r}"
            )

    def _check_limits(self) -> None:
        if self.cpus is not None and (not _CPUS.fullmatch(self.cpus) or not 0.01 <= float(self.cpus) <= 32):
            raise InputError("bad-cpus", f"--cpus: expected a number from 0.01 to 32, found {self.cpus[:80]!r}")
        if self.shm_size is not None and self.shm_size < 1 << 16:
            raise InputError("bad-shm-size", f"--shm-size: expected at least 64KB, found {self.shm_size} bytes")
        for mount in self.tmpfs:
            path = posixpath.normpath(mount.split(":", 1)[0] or "?")
            if not path.startswith("/") or path.startswith("//") or path in ("/", "/root") or _below_shared(path):
                raise InputError(
                    "bad-tmpfs", f"--tmpfs: expected a directory other than / and {SHARED}, found {mount[:80]!r}"
                )
        for capability in self.cap_drop:
            if not _CAPABILITY.fullmatch(capability):
                raise InputError(
                    "bad-capability", f"--cap-drop: expected a name like NET_RAW or ALL, found {capability[:80]!r}"
                )
        for limit in self.ulimit:
            if not _ULIMIT.fullmatch(limit):
                raise InputError(
                    "bad-ulimit",
                    f"--ulimit: expected NAME=SOFT[:HARD], found {limit[:80]!r}",
                    hint=f"NAME is one of {_LIMITS.replace(' ', ', ')}",
                )


def _below_shared(path: str) -> bool:
    return f"{path}/".startswith(f"{SHARED}/")


def command_words(command: str | None, words: Sequence[str] | None) -> tuple[str, ...]:
    """The container's words: from CMD, a shell-quoted string, or the words after ``--`` unchanged.

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
    """Raises InputError unless job and image together say what to run, by Docker's rules."""
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
