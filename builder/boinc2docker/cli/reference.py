"""The reference of commands and exit codes as Markdown, for the documentation. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from boinc2docker.cli.command import Command, Entry
from boinc2docker.cli.commands import COMMANDS
from boinc2docker.cli.help import option_name, option_text, usage
from boinc2docker.cli.man import VARIABLES
from boinc2docker.cli.option import COMMON
from boinc2docker.errors import ExitCode

PROGRAM = "boinc2docker"


def markdown(entries: Sequence[Entry] = COMMANDS) -> str:
    """Commands, common options, exit codes and environment variables; headings begin with the second level."""
    return "\n".join(_lines(entries)) + "\n"


def _lines(entries: Sequence[Entry]) -> Iterator[str]:
    yield "## Commands"
    for title, members in groupby(entries, lambda one: one.group):
        yield from ("", f"### {title}", "", "| | |", "|---|---|")
        for one in members:
            yield f"| [`{one.name}`](#{one.name}) | {_cell(one.summary)} |"
    for one in entries:
        yield from _command(one, one.load())
    yield from ("", "## Options of every command", "", "| | |", "|---|---|")
    for option in COMMON:
        yield f"| `{_cell(option_name(option))}` | {_cell(option_text(option))} |"
    yield from ("", "## Exit codes", "", "| | |", "|---|---|")
    for code in ExitCode:
        yield f"| {code.value} | {_cell(code.meaning)} |"
    yield from ("", "## Environment variables", "", "| | |", "|---|---|")
    for name, text in VARIABLES.items():
        yield f"| {', '.join(f'`{part}`' for part in name.split(', '))} | {_cell(text)} |"


def _command(entry: Entry, command: Command) -> Iterator[str]:
    yield from ("", f"## {entry.name}", "", entry.summary)
    if command.text:
        yield from ("", command.text)
    yield from ("", "```text", f"{PROGRAM} {usage(command)}", "```")
    for example in command.examples:
        yield from ("", example.purpose, "", "```sh", f"{PROGRAM} {example.line}", "```")
    for title, options in command.groups():
        own = [one for one in options if one not in COMMON]
        if not own:
            continue
        yield from ("", f"**{title}**", "", "| | |", "|---|---|")
        for option in own:
            yield f"| `{_cell(option_name(option))}` | {_cell(option_text(option))} |"
            if isinstance(option.choices, dict):
                for name, meaning in option.choices.items():
                    yield f"| {'&nbsp;' * 4}`{name}` | {_cell(meaning)} |"


def _cell(text: str) -> str:
    """In a table a bar ends a cell, in code spans too; what looks like HTML does not outside them."""
    return text.replace("|", "\\|").replace("<", "&lt;")
