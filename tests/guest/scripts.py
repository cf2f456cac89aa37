"""The agent's scripts as a graph: which functions a file of ``lib`` defines, and whose functions it calls.

A call is a known function's name where a shell expects a command, outside comments. ``test_scripts.py`` lists the few
functions that are called in another way, and checks that it sees a call of every other function.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

from tests.equipment.checkout import PROJECT_ROOT

HOME = PROJECT_ROOT / "guest" / "overlay" / "opt" / "boinc2docker"
_DEFINITION = re.compile(r"^([a-z0-9_]+)\(\) *[{(]", re.MULTILINE)
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
_COMMAND = re.compile(
    r"(?:^|[;&|({!'`)]|\b(?:then|do|else|elif|if|while|until)\s)[ \t]*(?=([a-z0-9_]+)(?:[\s;&|)}\"]|$))", re.MULTILINE
)
"""Looks ahead, since a keyword is itself where a command is expected."""


def program(path: Path) -> str:
    """A script without its comments."""
    return _COMMENT.sub("", path.read_text())


def defined(path: Path) -> set[str]:
    """The names of the functions in a script."""
    return set(_DEFINITION.findall(program(path)))


def called(path: Path) -> set[str]:
    """Every word where a shell expects a command: functions, and other programs."""
    return set(_COMMAND.findall(program(path)))


@functools.cache
def library() -> dict[str, Path]:
    """The files of ``lib`` by name."""
    return {path.stem: path for path in sorted((HOME / "lib").glob("*.sh"))}


@functools.cache
def owners() -> dict[str, str]:
    """The file of every function."""
    return {function: name for name, path in library().items() for function in defined(path)}


def needs(path: Path) -> set[str]:
    """The files of ``lib`` whose functions this script calls, and those with the names that many use."""
    found = {owners()[word] for word in called(path) & owners().keys()}
    return (found | _constants(path)) - {path.stem}


def _constants(path: Path) -> set[str]:
    """``paths``, which is everybody's, and ``status`` where one of its names is used."""
    used = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", program(path)))
    names = {"paths"}
    if "status" in library() and used & set(re.findall(r"\b([A-Z_]+)=", program(library()["status"]))):
        names.add("status")
    return names


@functools.cache
def graph() -> dict[str, set[str]]:
    """What each file of ``lib`` needs directly."""
    return {name: needs(path) for name, path in library().items()}


@functools.cache
def in_order() -> tuple[str, ...]:
    """All files of ``lib``, each after those it needs; raises CycleError where there is no such order."""
    return tuple(TopologicalSorter({name: sorted(graph()[name]) for name in sorted(graph())}).static_order())


def with_needs(names: Iterable[str]) -> list[str]:
    """These files of ``lib`` and all they need, in an order to source them in."""
    found: set[str] = set()
    rest = list(names)
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest += graph()[name]
    return [name for name in in_order() if name in found]
