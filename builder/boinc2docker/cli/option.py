"""One table of a command's options: its command line, its help, its completion and its typed values come from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from boinc2docker.errors import InputError, UsageError

Kind = Literal["text", "flag", "list", "argument"]


@dataclass(frozen=True)
class Option:
    """An option: ``name`` with underscores, as a Python parameter; ``short`` is one letter.

    A ``list`` may be given repeatedly, a ``flag`` has no value, an ``argument`` needs no name; one that is ``many``
    takes one or more words. ``read`` turns a text into a typed value; it is called with the text and the option's
    spelling and raises BuilderErrors. ``noun`` names the value in usage texts. ``choices`` are all values there are,
    perhaps with what each means. ``aliases`` are further spellings, which help does not show; a ``hidden`` option it
    does not show at all. A value is as many ``words`` as that. With a pattern ``fits``, the next word is the value only
    if it fits, else the value is "".
    """

    name: str
    help: str
    kind: Kind = "text"
    read: Callable[[Any, str], Any] | None = None
    short: str = ""
    noun: str = ""
    group: str = "Options"
    choices: Collection[str] | Mapping[str, str] = ()
    aliases: tuple[str, ...] = ()
    hidden: bool = False
    required: bool = False
    many: bool = False
    words: int = 1
    fits: str = ""

    @property
    def spelling(self) -> str:
        """``--like-this``, or ``-x``."""
        if len(self.name) == 1:
            return f"-{self.name}"
        return f"--{self.name.replace('_', '-')}"

    @property
    def spellings(self) -> tuple[str, ...]:
        """All that a command line may say, the preferred one first."""
        single = (f"--{self.name}",) if len(self.name) == 1 else ()
        return (self.spelling, *single, *([f"-{self.short}"] if self.short else []), *self.aliases)

    @property
    def default(self) -> Any:
        """What the option is where it is not given."""
        return {"text": None, "argument": () if self.many else None, "flag": False, "list": ()}[self.kind]

    @property
    def takes_value(self) -> bool:
        """Whether the next word on a command line is its value."""
        return self.kind in ("text", "list")

    @property
    def shown_value(self) -> str:
        """The value as usage texts name it: ``FILE``, or the choices."""
        if self.choices and not self.noun:
            return "|".join(self.choices)
        return self.noun or self.name.upper().replace("_", "-")

    def value(self, given: Any) -> Any:
        """The typed value of what was typed, else the default. Raises UsageError, and what ``read`` raises."""
        if self.kind == "flag":
            return bool(given)
        if self.kind == "list" or self.many:
            return tuple(self._read(one) for one in given or ())
        return given if given is None else self._read(given)

    def _read(self, text: Any) -> Any:
        if self.choices and text not in self.choices:
            raise UsageError(
                "bad-choice", f"{self._shown}: expected {' or '.join(self.choices)}, found {str(text)[:80]!a}"
            )
        with wrong_values():
            return self.read(text, self._shown) if self.read else text

    @property
    def _shown(self) -> str:
        return self.shown_value if self.kind == "argument" else self.spelling


@contextlib.contextmanager
def wrong_values() -> Iterator[None]:
    """Parts that know of no command line call a wrong value wrong input; here it is wrong usage. Raises UsageError."""
    try:
        yield
    except InputError as error:
        raise UsageError(error.code, error.message, hint=error.hint) from error


JSON = Option("json", "Print one JSON object on stdout and nothing else there.", kind="flag", group="Output")
QUIET = Option("quiet", "Print only warnings and errors, besides the result.", kind="flag", short="q", group="Output")
DEBUG = Option("debug", "Show a traceback when something fails.", kind="flag", group="Output")
HELP = Option("help", "Show this help.", kind="flag", short="h", group="Output")
COMMON = (JSON, QUIET, DEBUG, HELP)
"""What every command takes; the program itself looks after them."""


def group(title: str, *options: Option) -> tuple[Option, ...]:
    """The options, all below one heading of the help."""
    return tuple(replace(one, group=title) for one in options)


def values(table: Sequence[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """The typed value of every option of ``table``, by name. Raises UsageError or InputError."""
    return {one.name: one.value(given.get(one.name, one.default)) for one in table}
