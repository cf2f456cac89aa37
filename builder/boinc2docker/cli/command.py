"""What a command is: its words, what it does with them, and how to explain it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from boinc2docker.cli.option import COMMON, Option

Given = Mapping[str, Any]
"""What was typed, by the options' names: texts, tuples of texts for lists, True for flags; ``words`` see Command."""


@dataclass(frozen=True)
class Example:
    """A command line without the program's name, as a shell takes it, and what it does."""

    line: str
    purpose: str


@dataclass(frozen=True)
class Command:
    """A command: ``function`` does what was typed and returns its exit code, None for 0; it raises BuilderErrors.

    ``words`` says where words begin that are passed on as they are: after the first argument (``container``, as with
    ``docker run IMAGE WORD…``; ``all``: without exceptions), after ``--``, or nowhere. ``refused`` explains options
    that other programs have and this command cannot have. ``usage`` is its arguments as help shows them.
    """

    name: str
    function: Callable[[Given], int | None]
    options: tuple[Option, ...]
    examples: tuple[Example, ...]
    text: str = ""
    words: Literal["none", "container", "all", "dashes"] = "none"
    refused: Mapping[str, str] = field(default_factory=dict)
    usage: str = ""

    @cached_property
    def table(self) -> tuple[Option, ...]:
        """Its own options and those of every command."""
        return (*self.options, *COMMON)

    @cached_property
    def spellings(self) -> dict[str, Option]:
        """Every spelling of every option."""
        return {spelling: one for one in self.table if one.kind != "argument" for spelling in one.spellings}

    @property
    def arguments(self) -> tuple[Option, ...]:
        """What is given without a name, in order."""
        return tuple(one for one in self.table if one.kind == "argument")

    @property
    def help_words(self) -> tuple[str, ...]:
        """What shows its help, after the program's name."""
        return ("help", self.name) if self.name else ("--help",)

    def groups(self) -> Iterator[tuple[str, Sequence[Option]]]:
        """The options that help shows, by their headings, in the table's order; the common ones come last."""
        shown = [one for one in self.table if not one.hidden]
        for title in dict.fromkeys(one.group for one in shown):
            yield title, [one for one in shown if one.group == title]


@dataclass(frozen=True)
class Entry:
    """A command as the list of commands names it. ``load`` imports the rest, which takes time, only when it is used."""

    name: str
    group: str
    summary: str
    load: Callable[[], Command]
