"""``guest/bases.toml``: the named bases, public mirrors as a last resort, and a snapshot service.

A base is ``assembled`` here or a ``download``. A download without ``sha256`` is pinned: its first digest is written to
``guest/base-pins.toml`` and required of every later download. Pins are keyed by URL, so a new release gets a new pin.
They are beside the catalogue, not in a user's cache: a committed pin binds everyone.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated

from boinc2docker import atomic
from boinc2docker.base.lock import Archive
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.formats.toml_settings import FILLED, Rule, Text, TomlFile, Url, key, render

_PINS_HEADER = "# Digests seen at the first download of bases that publish none. Written by the build; commit it.\n"


@dataclass(frozen=True)
class Assembled:
    """A base that is built here."""

    name: str
    about: str


@dataclass(frozen=True)
class Download:
    """A base that is downloaded; ``digest`` is None if none is published."""

    name: str
    about: str
    urls: tuple[str, ...]
    digest: Digest | None


Entry = Assembled | Download


@dataclass(frozen=True)
class Catalogue:
    """All named bases, public mirrors by archive, and the root of a snapshot service (see ``base.mirrors``)."""

    default: str
    entries: Mapping[str, Entry]
    mirrors: Mapping[str, tuple[str, ...]]
    snapshot: str | None = None

    def entry(self, name: str) -> Entry:
        """Raises InputError that lists the known bases and suggests one."""
        if name in self.entries:
            return self.entries[name]
        near = difflib.get_close_matches(name, self.entries, 1)
        raise InputError(
            "unknown-base",
            f"unknown base {name!r}: neither a file nor one of {', '.join(self.entries)}",
            hint=f"did you mean {near[0]!r}?" if near else "--base takes a name of guest/bases.toml, a path or a URL",
        )


class _Kind(Enum):
    ASSEMBLED = "assembled"
    DOWNLOAD = "download"


Urls = Annotated[tuple[Url, ...], FILLED]


@dataclass(frozen=True)
class _Base:
    """A table ``[bases.NAME]``."""

    kind: _Kind
    about: str = ""
    urls: Urls | None = None
    digest: Digest | None = field(default=None, metadata=key("sha256"))


@dataclass(frozen=True)
class _Document:
    """The whole file."""

    default: Text
    bases: Annotated[Mapping[str, _Base], Rule("at least one [bases.NAME]", bool)]
    mirrors: Mapping[Archive, Urls] = field(default_factory=dict)
    snapshot: Url | None = None


_FILE = TomlFile(_Document, "bad-catalogue")
_PINS = TomlFile(dict[str, Digest], "bad-pins")


def read(path: Path) -> Catalogue:
    """Raises InputError if the file is missing or wrong."""
    return _catalogue(_FILE.read(path), path.name)


def parse(text: str, *, name: str = "bases.toml") -> Catalogue:
    """Raises InputError that names the key and what is wrong with it."""
    return _catalogue(_FILE.parse(text, name), name)


def _catalogue(document: _Document, name: str) -> Catalogue:
    entries = {base: _entry(base, table, name) for base, table in document.bases.items()}
    if document.default not in entries:
        raise InputError(
            "bad-catalogue", f"{name}: default: expected one of {', '.join(entries)}, found {document.default!r}"
        )
    return Catalogue(document.default, entries, document.mirrors, document.snapshot)


def _entry(base: str, table: _Base, name: str) -> Entry:
    if table.kind is _Kind.ASSEMBLED:
        if table.urls or table.digest:
            raise InputError("bad-catalogue", f"{name}: bases.{base}: only a download has urls and sha256")
        return Assembled(base, table.about)
    if table.urls is None:
        raise InputError("bad-catalogue", f"{name}: bases.{base}.urls: missing")
    return Download(base, table.about, table.urls, table.digest)


def read_pins(path: Path) -> dict[str, Digest]:
    """Digests by URL; none if there is no file. Raises InputError."""
    return _PINS.read(path) if path.exists() else {}


def write_pins(path: Path, pins: Mapping[str, Digest]) -> None:
    """Writes the pins to ``path``, sorted by URL."""
    atomic.write_text(path, render({url: str(digest) for url, digest in sorted(pins.items())}, _PINS_HEADER))
