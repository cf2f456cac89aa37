"""The one tree of errors that reach a user.

Every error says what was expected and what was found (``message``), what the user can do about it
(``hint``), and carries a stable kebab-case ``code`` for programs. This module imports nothing of the project.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """How our commands end. ``run`` ends with the exit code of its container, unless one of these says more."""

    OK = 0
    FAILED = 1
    USAGE = 2
    MACHINE = 125
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """One sentence for people."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "The command did what it was asked to do.",
    ExitCode.FAILED: "It failed, or a check found something wrong, such as a file whose content cannot be used.",
    ExitCode.USAGE: "The command line is wrong: an unknown command or option, a missing word, or a wrong value, "
    "such as the name of a file that is not there.",
    ExitCode.MACHINE: "`run`: the virtual machine or its Docker failed; the container did not end by itself.",
    ExitCode.NOT_EXECUTABLE: "`run`: the container's command cannot be executed, as with `docker run`.",
    ExitCode.NOT_FOUND: "`run`: the container's command was not found, as with `docker run`.",
    ExitCode.INTERRUPTED: "Ctrl-C or SIGTERM stopped it.",
}


class BuilderError(Exception):
    """Something foreseeable went wrong. Shown as one line and a hint; a traceback only with ``--debug``."""

    exit_code: int = ExitCode.FAILED

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class UsageError(BuilderError):
    """An option, an argument or a combination of them is wrong."""

    exit_code = ExitCode.USAGE


class InputError(BuilderError):
    """A file the user gave is not what it has to be."""


class VerificationError(BuilderError):
    """A digest, a signature or a date does not hold."""


class NetworkError(BuilderError):
    """Something could not be fetched."""


class HostError(BuilderError):
    """This machine lacks something: a program, a permission, room on a disk."""


class MachineError(BuilderError):
    """A virtual machine did not do what it had to."""

    exit_code = ExitCode.MACHINE


class CommandError(HostError):
    """A program that was run here failed.

    ``message`` names the command line (copy-pasteable), its exit status and its last lines of output.
    """

    def __init__(self, argv: Sequence[str], status: int, output: str, *, hint: str | None = None) -> None:
        import shlex

        last = "\n".join(output.strip().splitlines()[-10:])
        shown = shlex.join(argv)
        if len(shown) > 400:
            shown = shown[:400] + " …"
        super().__init__(
            "command-failed",
            f"{shown} ended with status {status}" + (f":\n{last}" if last else ""),
            hint=hint,
        )
        self.argv = tuple(argv)
        self.status = status
