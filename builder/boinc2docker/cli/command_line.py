"""What the words of a command line say, read as docker's command line (pflag) reads them.

An option's value is the next word, whatever it looks like, or follows ``=``; flags of one letter may be joined, as in
``-it``. For commands that run a container every word after IMAGE is the container's, with two exceptions for options
after IMAGE: they are ours between IMAGE and ``--``, and after a command that is one quoted string.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from boinc2docker import typed
from boinc2docker.cli.command import Command
from boinc2docker.cli.option import Option
from boinc2docker.errors import UsageError

_TRUE, _FALSE = ("true", "1"), ("false", "0")


def parse(command: Command, words: Sequence[str]) -> dict[str, Any]:
    """What was typed after the command's name, by the options' names. Raises UsageError.

    ``words`` are those that are passed on as they are, None if there are none. ``cmd`` is the container's command in
    one string.
    """
    reading = _Reading(command)
    reading.read(list(words))
    if not reading.given["help"]:
        reading.require()
    return reading.given


class _Reading:
    def __init__(self, command: Command) -> None:
        self._command = command
        self._arguments = list(command.arguments)
        self.given: dict[str, Any] = {one.name: one.default for one in command.table}
        self.given["words"] = None

    def read(self, words: list[str]) -> None:
        if self._command.words not in ("container", "all"):
            rest = self._options(words)
            if rest is None:
                return
            if self._command.words == "dashes":
                self.given["words"] = rest
                return
            for word in rest:
                self._argument(word)
            return
        position = self._until_argument(words)
        rest = words[position:]
        if rest[:1] == ["--"]:
            rest = rest[1:]
            if self.given.get("job"):
                self.given["words"] = rest
                return
        if rest:
            self._argument(rest[0])
            self._container(rest[1:], dashes=words[position] == "--")

    def _until_argument(self, words: Sequence[str]) -> int:
        """Reads options up to the first word that is none; returns its place."""
        position = 0
        while position < len(words) and _is_option(words[position]):
            position = self._option(words, position)
        return position

    def _container(self, words: Sequence[str], *, dashes: bool) -> None:
        """What follows IMAGE."""
        if not words:
            return
        if dashes or self._command.words == "all":
            self.given["words"] = list(words)
        elif words[0] == "--":
            self.given["words"] = list(words[1:])
        elif _is_option(words[0]) and (self._known(words[0]) or "--" in words):
            self._options_after_image(words)
        elif len(words) == 1 and (not words[0] or re.search(r"\s", words[0])):
            self.given["cmd"] = words[0]
        elif len(words) > 1 and re.search(r"\s", words[0]) and self._known(words[1]):
            self.given["cmd"] = words[0]
            if self._options(words[1:], arguments=False):
                raise UsageError("two-commands", "there is a command both before and after --", hint="give it once")
        else:
            self.given["words"] = list(words)

    def _options_after_image(self, words: Sequence[str]) -> None:
        position = self._until_argument(words)
        if words[position : position + 1] == ["--"]:
            self.given["words"] = list(words[position + 1 :])
            return
        raise UsageError(
            "option-after-image",
            f"{words[0].partition('=')[0]} follows IMAGE, where the container's words begin",
            hint="put options before IMAGE; if it is the container's, put -- between IMAGE and it",
        )

    def _options(self, words: Sequence[str], *, arguments: bool = True) -> list[str] | None:
        """Reads options and arguments in any order; returns what follows ``--``, None without one."""
        position = 0
        while position < len(words):
            word = words[position]
            if word == "--":
                return list(words[position + 1 :])
            if _is_option(word):
                position = self._option(words, position)
                continue
            if not arguments:
                raise UsageError("stray-word", f"expected an option or --, found {word[:80]!a}")
            self._argument(word)
            position += 1
        return None

    def _argument(self, word: str) -> None:
        if not self._arguments:
            raise UsageError("stray-word", f"there is a word too many: {word[:80]!a}")
        option = self._arguments[0]
        if option.many:
            self.given[option.name] = (*self.given[option.name], word)
            return
        self.given[self._arguments.pop(0).name] = word

    def _option(self, words: Sequence[str], position: int) -> int:
        """Reads the option at ``position``; returns the place after it."""
        word = words[position]
        if not word.startswith("--"):
            return self._letters(words, position)
        name, equals, value = word.partition("=")
        option = self._command.spellings.get(f"--{name[2:].replace('_', '-')}")
        if option is None:
            raise self._unknown(name)
        if not equals:
            return self._take(option, name, words, position + 1)
        if option.kind == "flag":
            if value.lower() not in (*_TRUE, *_FALSE):
                raise UsageError("bad-flag", f"{name}: expected true or false after =, found {value[:80]!a}")
            self.given[option.name] = value.lower() in _TRUE
        else:
            self._set(option, value)
        return position + 1

    def _letters(self, words: Sequence[str], position: int) -> int:
        """``-e VALUE``, ``-eVALUE``, ``-e=VALUE``, or flags of one letter together."""
        word = words[position]
        for place in range(1, len(word)):
            name = f"-{word[place]}"
            option = self._command.spellings.get(name)
            if option is None:
                raise self._unknown(word.partition("=")[0] if place == 1 else name)
            attached = word[place + 1 :]
            if option.takes_value and attached:
                self._set(option, attached.removeprefix("="))
                break
            if option.takes_value:
                return self._take(option, name, words, position + 1)
            self.given[option.name] = True
        return position + 1

    def _take(self, option: Option, name: str, words: Sequence[str], position: int) -> int:
        """Reads the value from ``position`` on; returns the place after it."""
        if option.kind == "flag":
            self.given[option.name] = True
            return position
        values = list(words[position : position + option.words])
        if option.fits and not (values and re.fullmatch(option.fits, values[0])):
            self._set(option, "")
            return position
        if len(values) < option.words:
            raise UsageError("no-value", f"{name}: expected {option.shown_value} after it, found nothing")
        self._set(option, values[0] if option.words == 1 else tuple(values))
        return position + option.words

    def _set(self, option: Option, value: Any) -> None:
        self.given[option.name] = (*self.given[option.name], value) if option.kind == "list" else value

    def _known(self, word: str) -> bool:
        """Whether the word is one of this command's options, or one that it explains."""
        name = word.partition("=")[0]
        name = f"--{name[2:].replace('_', '-')}" if name.startswith("--") else name
        return name in self._command.spellings or (len(name) > 2 and name in self._command.refused)

    def _unknown(self, name: str) -> UsageError:
        why = self._command.refused.get(name)
        if why:
            return UsageError("docker-option", f"{name} cannot work in a job: {why}")
        shown = [one.spelling for one in self._command.table if one.kind != "argument" and not one.hidden]
        near = difflib.get_close_matches(f"--{name.lstrip('-').replace('_', '-')}", shown, n=1, cutoff=0.7)
        listed = f"`{typed.command(*self._command.help_words)}` lists the options"
        hint = f"did you mean {near[0]}?" if near else listed
        return UsageError("no-such-option", f"there is no option {name[:80]}", hint=hint)

    def require(self) -> None:
        """Raises UsageError if something is missing that the command needs."""
        for one in self._command.table:
            if one.required and self.given[one.name] in (None, ()):
                what = one.shown_value if one.kind == "argument" else f"{one.spelling} {one.shown_value}"
                hint = f"`{typed.command(*self._command.help_words)}` explains it"
                if one.choices:
                    hint = "\n".join(["one of these:", *choice_lines(one), hint])
                raise UsageError("missing-word", f"expected {what}", hint=hint)


def choice_lines(option: Option) -> list[str]:
    """The choices of an option, each with what it means."""
    if not isinstance(option.choices, Mapping):
        return list(option.choices)
    width = max(map(len, option.choices))
    return [f"{name:{width}}  {meaning}" for name, meaning in option.choices.items()]


def _is_option(word: str) -> bool:
    """``-`` alone is a value: standard input."""
    return word.startswith("-") and word not in ("-", "--")
