"""What an app needs in a project's XML files, added where it is missing.

Entries that are there win, whatever else they say: they are the operator's. Pure: bytes in, bytes out.
Sources: BOINC ``tools/xadd`` (project.xml), ``sched/plan_class_spec.cpp``, ``py/Boinc/configxml.py`` (config.xml).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from builder.app import xml_text
from builder.app.xml_text import Element
from builder.errors import InputError

PLAN_CLASSES = "plan_class_spec.xml"


@dataclass(frozen=True)
class Entry:
    """One entry: ``kind`` is its element, ``key`` what it is known by (a name; for a daemon ``role app``)."""

    kind: str
    key: str
    fragment: str


@dataclass(frozen=True)
class Merged:
    """A file after the merge, and the keys of what was added and of what was there."""

    data: bytes
    added: tuple[str, ...]
    kept: tuple[str, ...]


def merge_project(data: bytes | None, entries: Sequence[Entry]) -> Merged:
    """project.xml with these platforms and apps. Raises InputError if it is not one."""
    return _merge(data, "project.xml", "boinc", None, entries)


def merge_plan_classes(data: bytes | None, entries: Sequence[Entry]) -> Merged:
    """plan_class_spec.xml with these classes. Raises InputError if it is not one.

    A file that is not well-formed, as BOINC's own sample is, is read as loosely as BOINC reads it.
    """
    return _merge(data, PLAN_CLASSES, "plan_classes", None, entries)


def merge_config(data: bytes, entries: Sequence[Entry]) -> Merged:
    """config.xml with these daemons. Raises InputError if it is not one."""
    return _merge(data, "config.xml", "boinc", "daemons", entries)


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
    if kind == "daemon":
        roles = (daemon_role(child.child_text("cmd") or "") for child in root.all(kind))
        return [role for role in roles if role]
    return [name for child in root.all(kind) if (name := child.child_text("name"))]


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


def _merge(data: bytes | None, file: str, root_name: str, section: str | None, entries: Sequence[Entry]) -> Merged:
    data = data if data is not None and data.strip() else f"<{root_name}>\n</{root_name}>\n".encode()
    added, kept = [], []
    for entry in entries:
        parent = _section(data, file, root_name, section)
        if parent is None:
            data = xml_text.append_child(data, read_root(data, file), f"<{section}>\n</{section}>")
            parent = next(read_root(data, file).all(str(section)))
        if entry.key in names(parent, entry.kind):
            kept.append(entry.key)
            continue
        data = xml_text.append_child(data, parent, entry.fragment)
        added.append(entry.key)
    _section(data, file, root_name, section)  # what was written is well-formed
    return Merged(data, tuple(added), tuple(kept))


def _section(data: bytes, file: str, root_name: str, section: str | None) -> Element | None:
    root = read_root(data, file)
    if root.name != root_name:
        raise InputError("bad-project-file", f"{file}: expected the root element <{root_name}>, found <{root.name}>")
    return root if section is None else next(root.all(section), None)
