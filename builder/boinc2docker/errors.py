"""The one tree of errors that reach a user.

Every error says what was expected and what was found (``message``), what the user can do about it
(``hint``), and carries a stable kebab-case ``code`` for programs. This module imports nothing of the project.
"""

from __future__ import annotations

from collections.abc import Sequence


class BuilderError(Exception):
    """Something foreseeable went wrong. Shown as one line and a hint; a traceback only with ``--debug``."""

    exit_code = 1

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class UsageError(BuilderError):
    """The command line does not say what to do: wrong options or arguments."""

    exit_code = 2


class InputError(BuilderError):
    """A file or value the user gave is not what it has to be."""


class VerificationError(BuilderError):
    """A digest, a signature or a date does not hold."""


class NetworkError(BuilderError):
    """Something could not be fetched."""


class HostError(BuilderError):
    """This machine lacks something: a program, a permission, room on a disk."""


class MachineError(BuilderError):
    """A virtual machine did not do what it had to."""

    exit_code = 125


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
