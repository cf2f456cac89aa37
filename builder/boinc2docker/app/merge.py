"""What an app needs in a project's XML files: added where it is missing, and ours brought up to date.

An entry is ours if package-app wrote it and nobody has touched it since; the caller's ``own`` knows (``installed.py``).
Every other entry is the operator's and stays, whatever it says. Pure: bytes in, bytes out.
Sources: BOINC ``tools/xadd`` (project.xml), ``sched/plan_class_spec.cpp``, ``py/Boinc/configxml.py`` (config.xml).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from boinc2docker.errors import InputError
from boinc2docker.project import xml_text
from boinc2docker.project.xml_text import Element

PLAN_CLASSES = "plan_class_spec.xml"


@dataclass(frozen=True)
class Entry:
    """One entry: ``kind`` is its element, ``key`` what it is known by (a name; for a daemon ``role app``)."""

    kind: str
    key: str
    fragment: str

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def canonical(self) -> str:
        """Its text without blanks that mean nothing."""
        return xml_text.canonical(self.fragment.encode()) or self.fragment


Own = Callable[[Entry, str], bool]
"""Whether the entry that a file has, in canonical form, is package-app's own."""


@dataclass(frozen=True)
class Difference:
    """An entry of a file that is not as this version would write it. ``values`` are tag, value there, value here."""

    entry: Entry
    values: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        return "; ".join(f"{tag}: {there} -> {here}" for tag, there, here in self.values)


@dataclass(frozen=True)
class Merged:
    """A file after the merge. ``updated`` were ours and old, ``foreign`` are others' and stay; ``owned`` are ours now.

    An entry that is as it should be is in neither of the first two.
    """

    data: bytes
    added: tuple[str, ...] = ()
    updated: tuple[Difference, ...] = ()
    foreign: tuple[Difference, ...] = ()
    owned: tuple[Entry, ...] = ()


def nobodys(_entry: Entry, _there: str) -> bool:
    """No entry is ours."""
    return False


def merge_project(data: bytes | None, entries: Sequence[Entry], own: Own = nobodys) -> Merged:
    """project.xml with these platforms and apps. Raises InputError if it is not one."""
    return _merge(data, "project.xml", "boinc", None, entries, own)


def merge_plan_classes(data: bytes | None, entries: Sequence[Entry], own: Own = nobodys) -> Merged:
    """plan_class_spec.xml with these classes. Raises InputError if it is not one.

    A file that is not well-formed, as BOINC's own sample is, is read as loosely as BOINC reads it.
    """
    return _merge(data, PLAN_CLASSES, "plan_classes", None, entries, own)


def merge_config(data: bytes, entries: Sequence[Entry], own: Own = nobodys) -> Merged:
    """config.xml with these daemons. Raises InputError if it is not one."""
    return _merge(data, "config.xml", "boinc", "daemons", entries, own)


def daemon_role(command: str) -> str | None:
    """``validator APP`` or ``assimilator APP`` for a daemon's command line; None for all others.

    An app must not have two of either, so this is what daemons are compared by, not their options.
    """
    words = command.split()
    app = next((word for flag, word in itertools.pairwise(words) if flag in ("-app", "--app")), None)
    role = re.search("validator|assimilator", words[0]) if words else None
    return f"{role[0]} {app}" if role and app else None


def names(root: Element, kind: str) -> list[str]:
    """The keys of the entries of one kind below ``root``."""
    return [key for child in root.all(kind) if (key := _key(child))]


def _key(element: Element) -> str | None:
    return daemon_role(element.child_text("cmd") or "") if element.name == "daemon" else element.child_text("name")


def read_root(data: bytes, file: str) -> Element:
    """The root of one of the three files. Raises InputError."""
    try:
        return xml_text.parse(data, file)
    except InputError:
        if file != PLAN_CLASSES:
            raise
        try:
            return xml_text.parse_loosely(data, file, "plan_classes", "plan_class")
        except InputError:
            pass
        raise


def _merge(
    data: bytes | None, file: str, root_name: str, section: str | None, entries: Sequence[Entry], own: Own
) -> Merged:
    data = data if data is not None and data.strip() else f"<{root_name}>\n</{root_name}>\n".encode()
    added: list[str] = []
    updated: list[Difference] = []
    foreign: list[Difference] = []
    owned: list[Entry] = []
    for entry in entries:
        parent = _section(data, file, root_name, section)
        if parent is None:
            data = xml_text.append_child(data, read_root(data, file), f"<{section}>\n</{section}>")
            parent = next(read_root(data, file).all(str(section)))
        there = [one for one in parent.all(entry.kind) if _key(one) == entry.key]
        if not there:
            data = xml_text.append_child(data, parent, entry.fragment)
            added.append(entry.key)
            owned.append(entry)
            continue
        # Several, such as the daemons of --mod, are the operator's.
        found = xml_text.canonical(there[0].source(data)) if len(there) == 1 else None
        ours = found is not None and own(entry, found)
        if ours:
            owned.append(entry)
        if found is None or found == entry.canonical:
            continue
        difference = Difference(entry, _values(found, entry.canonical))
        if ours:
            data = xml_text.replace(data, there[0], entry.fragment)
            updated.append(difference)
        else:
            foreign.append(difference)
    _section(data, file, root_name, section)  # what was written is well-formed
    return Merged(data, tuple(added), tuple(updated), tuple(foreign), tuple(owned))


def _section(data: bytes, file: str, root_name: str, section: str | None) -> Element | None:
    root = read_root(data, file)
    if root.name != root_name:
        raise InputError("bad-project-file", f"{file}: expected the root element <{root_name}>, found <{root.name}>")
    return root if section is None else next(root.all(section), None)


def _values(there: str, here: str) -> tuple[tuple[str, str, str], ...]:
    """The elements that differ between two entries in canonical form."""
    old, new = _elements(there), _elements(here)
    pairs = ((tag, old.get(tag, "none"), new.get(tag, "none")) for tag in dict.fromkeys([*old, *new]))
    return tuple(pair for pair in pairs if pair[1] != pair[2]) or (("its order or comments", "others", "ours"),)


def _elements(text: str) -> dict[str, str]:
    root = xml_text.parse(text.encode(), "entry")
    found: dict[str, list[str]] = {}
    for child in root.children:
        found.setdefault(child.name, []).append(child.text or "set")
    return {tag: ", ".join(texts) for tag, texts in found.items()}
