"""The program: finds the command, reads its words, and is the one place where errors become text and exit codes."""

from __future__ import annotations

import difflib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

from boinc2docker import __version__, console, places, typed
from boinc2docker.atomic import explain
from boinc2docker.cli import help as help_texts
from boinc2docker.cli.command import Entry
from boinc2docker.cli.command_line import parse
from boinc2docker.cli.commands import COMMANDS
from boinc2docker.errors import BuilderError, ExitCode, UsageError

TYPED = "BOINC2DOCKER_TYPED"
"""Environment variable in which ``ci/invoke`` says how it was typed."""
_HELP = ("help", "--help", "-h", "--list", "-l")


def main(
    argv: Sequence[str] | None = None, *, known: Sequence[Entry] | None = None, program: str | None = None
) -> NoReturn:
    """Entry point. ``known`` are the commands there are, ``program`` is what the user typed before the command.

    Says nothing if whoever reads its output has enough of it, as ``head`` has.
    """
    typed.set_program(*([program] if program else _typed()))
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            code = run_guarded(lambda: dispatch(words, entries() if known is None else known))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python flushes, and complains, at its end
        code = ExitCode.FAILED
    raise SystemExit(int(code))


def entries() -> tuple[Entry, ...]:
    """All commands; in a checkout those of its ``tasks.py`` as well."""
    if places.CHECKOUT is None:
        return COMMANDS
    if str(places.CHECKOUT) not in sys.path:
        sys.path.insert(0, str(places.CHECKOUT))
    found: tuple[Entry, ...] = import_module("tasks").ENTRIES
    return found


def dispatch(words: Sequence[str], known: Sequence[Entry]) -> int:
    """Does what the words say; returns the exit code. Raises BuilderErrors."""
    if not words or words[0] in _HELP:
        _help(words[1:], known)
        return ExitCode.OK
    if words[0] in ("--version", "-V", "version"):
        console.result(f"boinc2docker {__version__}")
        return ExitCode.OK
    entry = find(words[0], known)
    command = entry.load()
    console.configure(json="--json" in words)
    given = parse(command, words[1:])
    if given["help"]:
        console.result(help_texts.explained(entry, command))
        return ExitCode.OK
    console.configure(**{name: given[name] for name in ("json", "quiet", "debug")})
    return command.function(given) or ExitCode.OK


def find(word: str, known: Sequence[Entry]) -> Entry:
    """The command of that name; underscores are dashes. Raises UsageError that names the nearest."""
    name = word.replace("_", "-")
    for entry in known:
        if entry.name == name:
            return entry
    near = difflib.get_close_matches(name, [one.name for one in known], n=1)
    hint = f"did you mean `{typed.command(near[0])}`?" if near else f"`{typed.command('help')}` lists the commands"
    raise UsageError("no-such-command", f"there is no command {word[:80]!a}", hint=hint)


def run_guarded(work: Callable[[], int | None]) -> int:
    """Does ``work`` and returns its exit code; a foreseeable error is shown and becomes one."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return work() or ExitCode.OK
    except BuilderError as error:
        return _failed(error)
    except KeyboardInterrupt:
        console.warn("interrupted. Unfinished files were removed; downloads are kept and will be resumed")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        return _failed(explain(error, f"continue with {error.filename or 'the output'}"))


def _failed(error: BuilderError) -> int:
    if console.debugging():
        raise error
    console.failure(error)
    return error.exit_code


def _help(words: Sequence[str], known: Sequence[Entry]) -> None:
    name = next((word for word in words if not word.startswith("-")), None)
    if name is None:
        console.result(help_texts.overview(known))
        return
    entry = find(name, known)
    console.result(help_texts.explained(entry, entry.load()))


def takes_over(argv: Sequence[str]) -> bool:
    """Whether Invoke's program was started for a command of ours, or for help, and not with options of its own."""
    started = Path(argv[0])
    by_invoke = started.name in ("invoke", "inv") or started.parts[-2:] == ("invoke", "__main__.py")
    return by_invoke and (len(argv) == 1 or argv[1] in _HELP or not argv[1].startswith("-"))


def _typed() -> list[str]:
    """How the user started this process."""
    if told := os.environ.pop(TYPED, None):
        return [told]
    return ["python", "-m", "boinc2docker"] if Path(sys.argv[0]).name == "__main__.py" else ["boinc2docker"]


def _terminated(_signum: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that temporary files go and machines stop."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
