"""The manual page ``boinc2docker(1)``, made from the table of commands. Pure.

Format: man(7). Every text is escaped: a backslash, a leading dot or apostrophe, and hyphens that people copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from boinc2docker import __version__
from boinc2docker.cli.command import Command, Entry
from boinc2docker.cli.help import option_name, option_text, usage
from boinc2docker.errors import ExitCode

VARIABLES = {
    "PROJHOME, BOINC_PROJECT_DIR": "Directory of the BOINC project, where --project is not given.",
    "BOINC2DOCKER_CACHE": "Directory for downloads (default: ~/.cache/boinc2docker).",
    "BOINC2DOCKER_DEBIAN_MIRROR, BOINC2DOCKER_SECURITY_MIRROR": "Debian mirrors for build-iso and fetch.",
    "B2D_LIKE": "What run --like says where it is not given.",
    "HTTP_PROXY, HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE": "As for other programs.",
}
"""Environment variables that users set."""


def page(entries: Sequence[Entry]) -> str:
    """The whole page."""
    return "\n".join(_lines(entries))


def _lines(entries: Sequence[Entry]) -> Iterator[str]:
    yield f'.TH BOINC2DOCKER 1 "" "boinc2docker {__version__}" "User Commands"'
    yield ".SH NAME"
    yield "boinc2docker \\- run any Docker image on BOINC volunteers' computers"
    yield ".SH SYNOPSIS"
    yield ".B boinc2docker"
    yield "COMMAND [options] ..."
    yield ".SH COMMANDS"
    for entry in entries:
        yield from _entry(entry, entry.load())
    yield ".SH EXIT STATUS"
    for code in ExitCode:
        yield from _item(str(code.value), code.meaning.replace("`", ""))
    yield ".SH ENVIRONMENT"
    for name, text in VARIABLES.items():
        yield from _item(name, text)


def _entry(entry: Entry, command: Command) -> Iterator[str]:
    yield f".SS {_escaped(usage(command))}"
    for paragraph in f"{entry.summary}\n\n{command.text}".strip().split("\n\n"):
        yield ".PP"
        yield _text(paragraph)
    for title, options in command.groups():
        if title == "Output" and not any(one in command.options for one in options):
            continue  # what every command takes is said once, with the first
        yield ".PP"
        yield f".B {_escaped(title)}"
        for option in options:
            yield from _item(option_name(option), option_text(option))
            if isinstance(option.choices, dict):
                for name, meaning in option.choices.items():
                    yield from ("", _text(f"{name}: {meaning}"))[1:]
                    yield ".br"
    yield ".PP"
    yield ".B Examples"
    for one in command.examples:
        yield ".PP"
        yield _text(one.purpose)
        yield ".PP"
        yield ".nf"
        yield _text(f"  boinc2docker {one.line}")
        yield ".fi"


def _item(name: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {_escaped(name)}"
    yield _text(text)


def _text(text: str) -> str:
    """A line of text: one that begins with a dot or an apostrophe would be a request."""
    escaped = _escaped(text)
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _escaped(text: str) -> str:
    signs = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq", "…": "..."}
    return "".join(signs.get(sign, sign) for sign in text)
