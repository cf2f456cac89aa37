"""The door: Invoke's program with this project's exit codes and one place where errors become text.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec

from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.program import Program
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from builder import __version__, console
from builder.errors import BuilderError

Parameters = ParamSpec("Parameters")


def remainder(argv: list[str] | None = None) -> list[str] | None:
    """The words after ``--`` of the command line, untouched; None if there is no ``--``."""
    words = sys.argv if argv is None else argv
    return words[words.index("--") + 1 :] if "--" in words else None


def command(**options: Any) -> Callable[[Callable[Parameters, int | None]], Task[Any]]:
    """An Invoke task whose BuilderErrors are shown as one line and a hint.

    The function may take ``json``, ``debug`` and ``quiet`` flags, which are handled here; it returns its exit code or None for 0.
    """

    def decorate(function: Callable[Parameters, int | None]) -> Task[Any]:
        @functools.wraps(function)
        def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
            flags = {name: bool(kwargs.get(name, False)) for name in ("json", "quiet", "debug")}
            console.configure(**flags)
            code = run_guarded(lambda: function(*args, **kwargs))
            if code:
                raise Exit(code=code)

        made: Task[Any] = invoke_task(**options)(guarded)
        return made

    return decorate


def run_guarded(work: Callable[[], int | None]) -> int:
    """Does ``work`` and returns its exit code; a foreseeable error is shown and becomes one."""
    try:
        return work() or 0
    except BuilderError as error:
        if console.debugging():
            raise
        console.failure(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.warn("interrupted; nothing was left under its final name")
        return 130
    except BrokenPipeError:
        return 1


class Door(Program):
    """Invoke, but a wrong command line exits with 2."""

    def run(self, argv: Any = None, exit: bool = True) -> None:
        try:
            super().run(argv, exit=exit)
        except SystemExit as ending:
            if isinstance(ending.__context__, ParseError):
                raise SystemExit(2) from None
            raise


def main() -> None:
    """Entry point of ``ci/invoke``."""
    Door(name="boinc2docker", binary="ci/invoke", version=__version__).run()


__all__ = ["Context", "Door", "command", "main", "remainder", "run_guarded"]

if __name__ == "__main__":
    main()
