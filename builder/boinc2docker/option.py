"""One table of a command's options, from which its command line, its help and its typed values come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "flag", "list", "argument"]


@dataclass(frozen=True)
class Option:
    """An option: ``name`` with underscores, as a Python parameter; ``short`` is one letter.

    ``read`` makes a typed value of a text and is called with the text and the option's spelling; it raises
    BuilderErrors. A ``list`` may be given repeatedly, a ``flag`` has no value, an ``argument`` needs no name; one with
    ``many`` may be several words, its value is these with commas between. ``noun`` names the value in usage texts.
    """

    name: str
    help: str
    kind: Kind = "text"
    read: Callable[[str, str], Any] | None = None
    short: str = ""
    noun: str = ""
    many: bool = False

    @property
    def spelling(self) -> str:
        """``--like-this``, or ``-x``."""
        if len(self.name) == 1:
            return f"-{self.name}"
        return f"--{self.name.replace('_', '-')}"

    @property
    def default(self) -> Any:
        """What the option is where it is not given."""
        return {"text": None, "argument": None, "flag": False, "list": ()}[self.kind]

    @property
    def takes_value(self) -> bool:
        """Whether the next word on a command line is its value."""
        return self.kind in ("text", "list")

    def value(self, given: Any) -> Any:
        """The typed value of what was typed, None for what was not. Raises what ``read`` raises."""
        if self.kind == "flag":
            return bool(given)
        if self.kind == "list":
            return tuple(self.read(one, self.spelling) if self.read else one for one in given or ())
        return self.read(given, self.spelling) if self.read and given is not None else given


JSON = Option("json", "print one JSON object on stdout and nothing else there", kind="flag")
DEBUG = Option("debug", "show a traceback when something fails", kind="flag")
QUIET = Option("quiet", "print warnings and errors only, beside the result", kind="flag")


def taking_values(table: tuple[Option, ...]) -> frozenset[str]:
    """The spellings, long and short, of the options whose value is the next word."""
    found = [one for one in table if one.takes_value]
    return frozenset([one.spelling for one in found] + [f"-{one.short}" for one in found if one.short])


def joined(words: Sequence[str], taking: Collection[str]) -> list[str]:
    """A command's words with its arguments as one word, commas between; ``taking`` are options whose value is the next
    word. What comes after ``--`` stays."""
    found: list[str] = []
    place: int | None = None
    value = False
    for position, word in enumerate(words):
        if word == "--" and not value:
            return [*found, *words[position:]]
        if value or word.startswith("-"):
            value = not value and word in taking
            found.append(word)
        elif place is None:
            place = len(found)
            found.append(word)
        else:
            found[place] += f",{word}"
    return found


def values(table: tuple[Option, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The typed value of every option of ``table``, by name. Raises UsageError or InputError."""
    return {one.name: one.value(given.get(one.name, one.default)) for one in table}
