"""Help for people: the list of commands, and a command with its usage, examples and grouped options."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from boinc2docker import typed
from boinc2docker.cli.command import Command, Entry
from boinc2docker.cli.option import Option

_INDENT = 26
_WIDEST = 100


def overview(entries: Sequence[Entry]) -> str:
    """All commands, grouped, one line each."""
    program = typed.command()
    lines = [f"Usage: {program} COMMAND [options] …", "", "Run any Docker image on BOINC volunteers' computers."]
    for title, members in groupby(entries, lambda one: one.group):
        lines += ["", f"{title}:"]
        lines += [_wrapped(f"  {one.name}", one.summary) for one in members]
    lines += ["", f"`{program} help COMMAND` explains a command."]
    return "\n".join(lines)


def explained(entry: Entry, command: Command) -> str:
    """One command: usage, what it does, examples, options."""
    return "\n".join(_explained(entry, command))


def usage(command: Command) -> str:
    """Its words after the program's name, such as ``run [options] IMAGE [WORD…]``."""
    words = [
        *([command.name] if command.name else []),
        *(f"{one.spelling} {one.shown_value}" for one in command.table if _is_required(one)),
    ]
    arguments = command.usage or " ".join(map(_argument, command.arguments))
    return " ".join([*words, "[options]", arguments]).rstrip()


def option_text(option: Option) -> str:
    """What an option does, with its choices, and whether it may be repeated."""
    text = option.help
    if option.choices and option.noun and not isinstance(option.choices, Mapping):
        text += f" One of: {', '.join(option.choices)}."
    return text + (" May be repeated." if option.kind == "list" else "")


def option_name(option: Option) -> str:
    """How an option is typed: ``-e, --env NAME=VALUE``."""
    if option.kind == "argument":
        return option.shown_value
    short = f"-{option.short}, " if option.short else ""
    return f"{short}{option.spelling}" + ("" if option.kind == "flag" else f" {option.shown_value}")


def _explained(entry: Entry, command: Command) -> Iterator[str]:
    yield f"Usage: {typed.command()} {usage(command)}"
    yield ""
    yield from _paragraphs(f"{entry.summary}\n\n{command.text}".strip())
    yield ""
    yield "Examples:" if len(command.examples) > 1 else "Example:"
    for one in command.examples:
        yield from textwrap.wrap(one.purpose, _width(), initial_indent="  # ", subsequent_indent="  # ")
        yield f"  {typed.command()} {one.line}"
    for title, options in command.groups():
        yield ""
        yield f"{title}:"
        for option in options:
            yield _wrapped(f"  {option_name(option)}", option_text(option))
            if isinstance(option.choices, Mapping):
                yield from (_wrapped(f"    {name}", meaning) for name, meaning in option.choices.items())


def _is_required(option: Option) -> bool:
    return option.required and option.kind != "argument"


def _argument(option: Option) -> str:
    shown = option.shown_value + ("…" if option.many else "")
    return shown if option.required else f"[{shown}]"


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        yield from textwrap.wrap(paragraph, _width())


def _wrapped(name: str, text: str) -> str:
    """The name, and the text in its column; a long name has a line of its own."""
    indent = " " * _INDENT
    lines = textwrap.wrap(text, _width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    if len(name) + 2 > _INDENT:
        return "\n".join([name, *lines])
    return "\n".join([name + lines[0][len(name) :], *lines[1:]]) if lines else name


def _width() -> int:
    return max(min(shutil.get_terminal_size().columns, _WIDEST), 60)
