"""Editing boot configurations of isolinux, syslinux and GRUB, line by line, every label of them.

Pure: text in, text out. A line that needs no change stays as it was to the byte (case, blanks, comments, line ends);
editing twice gives what editing once gives. Texts are ``bytes`` because configurations have no declared encoding.
Source: syslinux' doc/syslinux.txt and wiki "Config"; GRUB manual, "initrd" and "linux".
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from boinc2docker.errors import InputError

_LINE = re.compile(r"(?P<indent>[ \t]*)(?P<word>[^ \t]+)(?P<gap>[ \t]*)(?P<value>.*?)(?P<tail>[ \t]*)", re.DOTALL)
_ENDS = re.compile(r"(\r\n|\n|\r)")
_WORD = re.compile(r"\S+")
_KERNEL_WORDS = ("kernel", "linux")
_GRUB_INITRD = ("initrd", "initrd16", "initrdefi")
_GRUB_LINUX = ("linux", "linux16", "linuxefi")


class Dialect(Enum):
    """The boot loader that a configuration is for."""

    SYSLINUX = "syslinux"
    GRUB = "grub"


@dataclass(frozen=True)
class Change:
    """A change to a configuration.

    ``initrds`` are put behind those of every label that has one. ``remove`` are shell patterns of kernel arguments,
    ``append`` arguments that come last unless they are there.
    """

    initrds: tuple[str, ...] = ()
    append: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True)
class BootLabel:
    """What a label boots: absolute paths, in loading order, and the kernel's arguments."""

    name: str
    kernel: str | None
    initrds: tuple[str, ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class _Line:
    """A directive: everything around ``value`` is kept. ``section`` counts labels; 0 is before the first."""

    number: int
    keyword: str
    value: str
    section: int


def change_arguments(words: Sequence[str], change: Change) -> list[str]:
    """Kernel arguments without those that match ``change.remove`` and with those of ``change.append``.

    An argument of ours that is there already stays where it is, even if a pattern matches it; so both lists may speak
    of the same key. Other values of the same key stay unless a pattern says so; the kernel takes the last.
    """
    kept = [
        word
        for word in words
        if word in change.append or not any(fnmatchcase(word, pattern) for pattern in change.remove)
    ]
    return kept + [word for word in change.append if word not in kept]


def dialect_of(path: str) -> Dialect | None:
    """The dialect of a file with this name; None if it is not a known name of a boot configuration."""
    name = posixpath.basename(path).lower()
    if name in ("isolinux.cfg", "syslinux.cfg", "extlinux.conf"):
        return Dialect.SYSLINUX
    return Dialect.GRUB if name == "grub.cfg" else None


def edit(text: bytes, dialect: Dialect, change: Change) -> bytes:
    """The configuration with ``change`` made to every label that has an initrd.

    Raises InputError for a line that continues on the next one where it would have to be changed.
    """
    pieces = _ENDS.split(text.decode("latin-1"))
    lines = pieces[::2]
    directives = list(_directives(lines, dialect))
    linux = {line.section for line in directives if _has_initrd(line, dialect)}
    for line in directives:
        if line.section in linux or _has_initrd(line, dialect):
            new = _edit_value(line, dialect, change)
            if new != line.value:
                lines[line.number] = _with_value(lines[line.number], new)
    pieces[::2] = lines
    return "".join(pieces).encode("latin-1")


def labels(text: bytes, path: str, dialect: Dialect) -> list[BootLabel]:
    """The labels that load an initrd, in the configuration at ``path``; relative paths start there."""
    lines = _ENDS.split(text.decode("latin-1"))[::2]
    sections: dict[int, list[_Line]] = {}
    for line in _directives(lines, dialect):
        sections.setdefault(line.section, []).append(line)
    found = (_label(content, posixpath.dirname(path), dialect) for content in sections.values())
    return [label for label in found if label.initrds]


def included(text: bytes, path: str) -> list[str]:
    """Absolute paths of the files that a syslinux configuration at ``path`` includes or jumps to."""
    found = []
    lines = _ENDS.split(text.decode("latin-1"))[::2]
    for line in _directives(lines, Dialect.SYSLINUX):
        words = line.value.split()
        keyword = line.keyword
        if keyword == "menu" and len(words) > 1 and words[0].lower() == "include":
            keyword, words = "include", words[1:]
        if keyword in ("include", "config") and words:
            found.append(absolute(words[0], posixpath.dirname(path)))
    return found


def absolute(name: str, folder: str) -> str:
    """A path in a configuration as an absolute path of the ISO; relative ones start at ``folder``."""
    return posixpath.normpath(posixpath.join("/", folder, name)).replace("//", "/")


def _directives(lines: Sequence[str], dialect: Dialect) -> Iterator[_Line]:
    """The directives, without comments and help texts."""
    section, in_help = 0, False
    for number, line in enumerate(lines):
        match = _LINE.fullmatch(line)
        if match is None or match["word"].startswith("#"):
            continue
        keyword, value = match["word"].lower(), match["value"]
        if in_help:
            in_help = keyword != "endtext"
            continue
        in_help = dialect is Dialect.SYSLINUX and keyword == "text" and value.lower().startswith("help")
        if keyword == ("label" if dialect is Dialect.SYSLINUX else "menuentry"):
            section += 1
        yield _Line(number, keyword, value, section)


def _has_initrd(line: _Line, dialect: Dialect) -> bool:
    if dialect is Dialect.GRUB:
        return line.keyword in _GRUB_INITRD and bool(line.value)
    if line.keyword == "initrd":
        return bool(line.value)
    first = _first_argument(line)
    return first is not None and any(_initrd_list(word) is not None for word in line.value.split()[first:])


def _first_argument(line: _Line) -> int | None:
    """The first word of a syslinux directive's value that may be a kernel argument; None if there are none in it.

    A kernel's name may be followed by arguments, here and in ``default``.
    """
    if line.keyword == "append":
        return 0
    return 1 if line.keyword in ("default", "ontimeout", "onerror", *_KERNEL_WORDS) else None


def _is_command(line: _Line) -> bool:
    """``default vmlinuz initrd=…`` is a kernel with its arguments; ``default linux`` only names a label."""
    return line.keyword in ("default", "ontimeout", "onerror") and _has_initrd(line, Dialect.SYSLINUX)


def _initrd_list(word: str) -> str | None:
    return word[7:] if word.lower().startswith("initrd=") and len(word) > 7 else None


def _edit_value(line: _Line, dialect: Dialect, change: Change) -> str:
    if dialect is Dialect.GRUB:
        return _edit_grub(line, change)
    if line.keyword == "initrd" and line.value:
        return _longer_list(line.value, change.initrds)
    first = _first_argument(line)
    if first is None:
        return line.value
    words = iter(range(len(line.value.split())))
    value = _WORD.sub(
        lambda match: _longer_argument(match[0], change.initrds) if next(words) >= first else match[0], line.value
    )
    # Arguments of ours go to the append line only, where they come last.
    only = change if line.keyword == "append" and value.strip() != "-" else Change(remove=change.remove)
    return _replaced_words(value, only, first=first)


def _edit_grub(line: _Line, change: Change) -> str:
    if line.keyword not in (*_GRUB_INITRD, *_GRUB_LINUX) or not line.value:
        return line.value
    if line.value.endswith("\\"):
        raise InputError("bad-boot-config", f"line {line.number + 1} of a GRUB configuration continues on the next")
    if line.keyword in _GRUB_LINUX:
        return _replaced_words(line.value, change, first=1)
    words = line.value.split()
    missing = [name for name in change.initrds if name not in words]
    return " ".join([line.value, *missing]) if missing else line.value


def _replaced_words(value: str, change: Change, *, first: int) -> str:
    """``value`` with the words from ``first`` on changed as kernel arguments; other spacing stays."""
    words = value.split()
    changed = words[:first] + change_arguments(words[first:], change)
    if changed == words:
        return value
    for word in words:
        if word not in changed:
            value = re.sub(rf"(^|\s+){re.escape(word)}(?=\s|$)", "", value)
    value = value.strip()
    added = changed[len(value.split()) :]
    return " ".join([value, *added] if value else added)


def _longer_list(value: str, initrds: Iterable[str]) -> str:
    present = [name.strip() for name in value.split(",")]
    missing = [name for name in initrds if name not in present]
    return ",".join([value.rstrip(","), *missing]) if missing else value


def _longer_argument(word: str, initrds: Iterable[str]) -> str:
    value = _initrd_list(word)
    return word if value is None else word[:7] + _longer_list(value, initrds)


def _with_value(line: str, value: str) -> str:
    match = _LINE.fullmatch(line)
    assert match is not None  # noqa: S101 - the line was taken apart by the same pattern before
    gap = match["gap"] if value else ""
    return f"{match['indent']}{match['word']}{gap}{value}{match['tail']}"


def _label(content: Sequence[_Line], folder: str, dialect: Dialect) -> BootLabel:
    read = _grub_label if dialect is Dialect.GRUB else _syslinux_label
    name, kernel, initrds, arguments = read(content)
    return BootLabel(
        name=name,
        kernel=None if kernel is None else absolute(kernel, folder),
        initrds=tuple(absolute(path, folder) for path in initrds if path),
        arguments=tuple(arguments),
    )


_Fields = tuple[str, str | None, list[str], list[str]]


def _grub_label(content: Sequence[_Line]) -> _Fields:
    name, kernel = "", None
    initrds: list[str] = []
    arguments: list[str] = []
    for line in content:
        words = line.value.split()
        if line.keyword == "menuentry":
            name = line.value
        elif line.keyword in _GRUB_INITRD and words:
            initrds = words
        elif line.keyword in _GRUB_LINUX and words:
            kernel, arguments = words[0], words[1:]
    return name, kernel, initrds, arguments


def _syslinux_label(content: Sequence[_Line]) -> _Fields:
    """What isolinux makes of a label: an ``initrd=`` of the arguments overrides the directive."""
    name, kernel = "", None
    initrds: list[str] = []
    arguments: list[str] = []
    for line in content:
        words = line.value.split()
        if line.keyword == "label":
            name = line.value
        elif line.keyword == "initrd" and words:
            initrds = [word.strip() for word in line.value.split(",")]
        elif words and (line.keyword in _KERNEL_WORDS or _is_command(line)):
            kernel, arguments = words[0], words[1:] + arguments
        elif line.keyword == "append":
            arguments = arguments + words
    named = [found for word in arguments if (found := _initrd_list(word)) is not None]
    if named:
        initrds = named[-1].split(",")
    return name, kernel, initrds, [word for word in arguments if _initrd_list(word) is None]
