"""Environment variables of a container, as `docker run` takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from boinc2docker.atomic import explain
from boinc2docker.errors import InputError

_BLANK = re.compile(r"\s")
Variables = tuple[tuple[str, str], ...]
"""Names and values in the order given, each name once."""


def gather(files: Iterable[Path], options: Iterable[str], outside: Mapping[str, str]) -> Variables:
    """All variables of ``--env-file`` and ``--env``, later ones override, files come before options, as in Docker.

    A name without a value is taken from ``outside`` and left out if it is not there. Raises InputError.
    """
    found: dict[str, str] = {}
    for path in files:
        found.update(parse_file(_read(path), outside, str(path)))
    for option in options:
        found.update(parse_option(option, outside))
    return tuple(found.items())


def parse_option(text: str, outside: Mapping[str, str]) -> Variables:
    """``NAME=VALUE`` or ``NAME``."""
    name, equals, value = text.partition("=")
    _check_name(name, f"--env {text[:80]!r}")
    if equals:
        return ((name, value),)
    return ((name, outside[name]),) if name in outside else ()


def parse_file(text: str, outside: Mapping[str, str], shown: str) -> Variables:
    """Reads Docker's ``--env-file``: one variable a line, ``#`` comments, blank lines, values without quoting."""
    found: dict[str, str] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        _check_name(name, f"{shown}, line {number}")
        if equals:
            found[name] = value
        elif name in outside:
            found[name] = outside[name]
    return tuple(found.items())


def _check_name(name: str, where: str) -> None:
    if not name or _BLANK.search(name) or "\0" in name:
        raise InputError("bad-environment", f"{where}: expected NAME=VALUE or NAME, found the name {name[:80]!r}")


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InputError("bad-environment", f"{path} is not UTF-8 text") from error
    except OSError as error:
        raise explain(error, f"read --env-file {path}") from error
