"""The door: Invoke's program with this project's exit codes and one place where errors become text.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, ParamSpec

from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext
from invoke.parser.parser import Parser
from invoke.program import Program
from invoke.tasks import Task

from boinc2docker import __version__, console
from boinc2docker.atomic import explain
from boinc2docker.errors import BuilderError
from boinc2docker.option import DEBUG, JSON, Option, joined, taking_values

Parameters = ParamSpec("Parameters")

WRONG_USAGE = 2
INTERRUPTED = 130


def words_after_dashes(argv: list[str] | None = None) -> list[str] | None:
    """The words after ``--`` of the command line, untouched; None if there is no ``--``.

    Invoke's own "remainder" joins them with blanks, which loses where a word ends.
    """
    words = sys.argv if argv is None else argv
    return words[words.index("--") + 1 :] if "--" in words else None


class PositionalArgument(Argument):
    """A positional argument that does not swallow a mistyped option, as Invoke's own would."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Takes ``value``; raises ParseError if it looks like an option."""
        if isinstance(value, str) and value.startswith("-"):
            raise ParseError(f"no such option: {value}")
        super().set_value(value, cast=cast)


class CommandTask(Task[Any]):
    """A task whose last positional arguments may be left out, or the last may be many words, which Invoke's parser does
    not know. ``joins_words``: the options that take values, of a task with such an argument."""

    optional_positional: tuple[str, ...] = ()
    short_names: Mapping[str, str] = {}
    joins_words: frozenset[str] | None = None
    check_words: Callable[[Sequence[str]], int | None] | None = None

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Invoke's arguments; optional ones count as positional only as far as this command line gives them."""
        plain: list[Argument] = super().get_arguments(ignore_unknown_help)
        arguments = [PositionalArgument(**_copy(one)) if one.positional else one for one in plain]
        for argument in arguments:
            if short := self.short_names.get(str(argument.attr_name or argument.name)):
                argument.names = (*argument.names, short)
        for name in reversed(self.optional_positional):
            if self._fits(arguments):
                break
            for argument in arguments:
                if argument.name == name:
                    argument.positional = False
        return arguments

    def _fits(self, arguments: list[Argument]) -> bool:
        """False if parsing this process' command line with all positional arguments would miss one."""
        argv = sys.argv[1:]
        argv = argv[: argv.index("--")] if "--" in argv else argv
        names = [self.name, self.name.replace("_", "-")]
        start = next((i for i, word in enumerate(argv) if word in names), None)
        if start is None:
            return True
        trial = [type(argument)(**_copy(argument)) for argument in arguments]
        try:
            Parser(contexts=[ParserContext(name=argv[start], args=trial)]).parse_argv(argv[start:])
        except ParseError as error:
            return "did not receive required positional" not in str(error)
        return True


def _copy(argument: Argument) -> dict[str, Any]:
    keys = ("names", "kind", "default", "help", "positional", "optional", "incrementable", "attr_name")
    return {key: getattr(argument, key) for key in keys}


def command(
    *,
    optional_positional: Sequence[str] = (),
    table: Sequence[Option] = (),
    check_words: Callable[[Sequence[str]], int | None] | None = None,
    texts: Mapping[str, str] | None = None,
    help: Mapping[str, str] | None = None,
    **options: Any,
) -> Callable[[Callable[Parameters, int | None]], Task[Any]]:
    """An Invoke task whose BuilderErrors are shown as one line and a hint.

    The function may take ``json``, ``debug`` and ``quiet`` flags, which are handled here; it returns its exit code
    or None for 0. ``optional_positional`` names the last positional arguments that may be left out (their
    default is None). With a ``table`` its options are what the command takes, as keywords, beside ``json`` and
    ``debug``. ``check_words`` is shown the command's words before they are parsed and may raise BuilderErrors.
    ``texts`` are further options with their help, handed to the function's ``**`` parameter: None where they are not
    given.
    """
    talk = (*table, JSON, DEBUG) if table else ()
    told = {**(help or {}), **(texts or {}), **{one.name: one.help for one in talk}}
    if table:
        optional_positional = [one.name for one in table if one.kind == "argument"]
        options |= {"positional": optional_positional, "iterable": [one.name for one in table if one.kind == "list"]}

    def decorate(function: Callable[Parameters, int | None]) -> Task[Any]:
        @functools.wraps(function)
        def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
            flags = {name: bool(kwargs.get(name, False)) for name in ("json", "quiet", "debug")}
            console.configure(**flags)
            if table:
                for name in flags:
                    kwargs.pop(name, None)
            code = run_guarded(lambda: function(*args, **kwargs))
            if code:
                raise Exit(code=code)

        if table:
            guarded.__signature__ = _signature(talk)  # type: ignore[attr-defined]
        if texts:
            guarded.__signature__ = _with_texts(function, texts)  # type: ignore[attr-defined] # what Invoke looks at
        # Invoke's automatic short flags depend on the order of options and differ from docker's.
        made = CommandTask(guarded, auto_shortflags=False, help=told, **options)
        made.optional_positional = tuple(optional_positional)
        made.short_names = {one.name: one.short for one in table if one.short}
        made.check_words = check_words
        made.joins_words = taking_values(talk) if any(one.many for one in table) else None
        return made

    return decorate


def _signature(table: Sequence[Option]) -> inspect.Signature:
    """What Invoke reads a task's arguments from."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [
        inspect.Parameter(one.name, keyword, default=one.default or None) for one in table if one.kind != "flag"
    ]
    parameters += [inspect.Parameter(one.name, keyword, default=False) for one in table if one.kind == "flag"]
    return inspect.Signature(parameters)


def _with_texts(function: Callable[..., Any], texts: Mapping[str, str]) -> inspect.Signature:
    """The function's signature with a parameter for each text in place of its ``**`` one."""
    signature = inspect.signature(function)
    plain = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in texts]
    return signature.replace(parameters=[*plain, *more])


def run_guarded(work: Callable[[], int | None]) -> int:
    """Does ``work`` and returns its exit code; a foreseeable error is shown and becomes one."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return work() or 0
    except BuilderError as error:
        if console.debugging():
            raise
        console.failure(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.warn("interrupted; nothing was left under its final name")
        return INTERRUPTED
    except BrokenPipeError:
        return 1
    except OSError as error:
        if console.debugging():
            raise
        console.failure(explain(error, f"go on with {error.filename or 'the output'}"))
        return 1


def _terminated(_signum: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that temporary files go and machines stop."""
    raise KeyboardInterrupt


def help_first(argv: list[str]) -> list[str]:
    """``TASK … --help`` as ``--help TASK``: Invoke would take ``--help`` for the task's first positional argument."""
    own = argv[: argv.index("--")] if "--" in argv else argv
    start = 3 if own[1:2] == ["--search-root"] else 1  # ci/invoke puts it before the user's words
    if len(own) > start + 1 and not own[start].startswith("-") and {"--help", "-h"} & set(own[start + 1 :]):
        return [*own[:start], "--help", own[start]]
    return argv


def dashed(argv: list[str]) -> list[str]:
    """``--rsc_disk_bound=1`` as ``--rsc-disk-bound=1``, so that BOINC's options have their own names here."""
    end = argv.index("--") if "--" in argv else len(argv)
    return [_dashed(word) for word in argv[:end]] + argv[end:]


def _dashed(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}" if re.fullmatch(r"--[a-z]+(_[a-z]+)+", name) else word


class Door(Program):
    """Invoke, but a wrong command line exits with 2, and options may be written with underscores, as BOINC's are."""

    def parse_tasks(self) -> None:
        """Looks at the task's words before Invoke does, which takes some options of docker's for its own."""
        words = self.core.unparsed
        task = self.collection[words[0]] if words and words[0] in self.collection.task_names else None
        # Not by type: this module is __main__ here, and another copy of it made the task.
        check = getattr(task, "check_words", None)
        if check is not None:
            own = words[1 : words.index("--") if "--" in words else None]
            console.configure(json="--json" in own)
            if code := run_guarded(lambda: check(own)):
                raise SystemExit(code)
        taking = getattr(task, "joins_words", None)
        if taking is not None:
            words[1:] = joined(words[1:], taking)
        super().parse_tasks()

    def run(self, argv: Any = None, exit: bool = True) -> None:
        words = dashed(list(sys.argv if argv is None else argv))
        if argv is None:
            sys.argv[:] = words  # where a task looks what it was given
        try:
            super().run(help_first(words), exit=exit)
        except SystemExit as ending:
            wrong = ending.__context__
            if isinstance(wrong, ParseError):
                if "--json" in words:
                    console.result({"error": {"code": "usage", "message": str(wrong), "hint": None}})
                raise SystemExit(WRONG_USAGE) from None
            raise


def main() -> None:
    """Entry point of ``ci/invoke``. Says nothing if whoever read its output has enough of it, as ``head`` has."""
    try:
        try:
            Door(name="boinc2docker", binary="ci/invoke", version=__version__).run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python flushes, and complains, at its end
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
