"""``boinc2docker_create_work.py [options] IMAGE COMMAND…``: the classic name of ``submit``.

Every word after IMAGE is the container's, ``--`` among them, as it always was. Run as a module.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from boinc2docker import __version__, console, typed
from boinc2docker.cli import help as help_texts
from boinc2docker.cli.command import Command, Entry, Example
from boinc2docker.cli.command_line import parse
from boinc2docker.cli.program import run_guarded
from boinc2docker.cli.submit import COMMAND

PROGRAM = "boinc2docker_create_work.py"
_EXAMPLE = Example("--memory 2GB python:3-slim python -c 'print(\"Hello BOINC\")'", "One job.")
CLASSIC: Command = replace(COMMAND, name="", examples=(_EXAMPLE,), words="all")
_ENTRY = Entry(PROGRAM, "", "Make a BOINC work unit. Options come before IMAGE.", lambda: CLASSIC)


def main(argv: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code (``errors.ExitCode``)."""
    typed.set_program(PROGRAM)
    console.configure(json="--json" in argv)
    return run_guarded(lambda: _main(argv))


def _main(argv: Sequence[str]) -> int:
    if list(argv) == ["--version"]:
        console.result(__version__)
        return 0
    given = parse(CLASSIC, argv)
    if given["help"]:
        console.result(help_texts.explained(_ENTRY, CLASSIC))
        return 0
    console.configure(**{name: given[name] for name in ("json", "quiet", "debug")})
    return CLASSIC.function(given) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
