"""How this process's user types our commands: a hint shows a command that can be pasted."""

from __future__ import annotations

import shlex

_program = ["boinc2docker"]


def set_program(*words: str) -> None:
    """Says what comes before the command's name: ``ci/invoke``, ``invoke``, ``boinc2docker``."""
    _program[:] = words


def command(*words: object) -> str:
    """The command line of these words, quoted for a shell, such as ``ci/invoke build-iso``."""
    return shlex.join([*_program, *map(str, words)])
