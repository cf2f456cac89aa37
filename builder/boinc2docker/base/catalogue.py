"""``guest/bases.toml``: the bases that have a name, the public mirrors of last resort, a snapshot service.

A base is ``assembled`` here or a ``download``. A download without ``sha256`` is pinned: the digest of its first
download is written to ``guest/base-pins.toml``, keyed by URL so that a new release in the catalogue is a new pin, and
every later download has to have it. The pins lie beside the catalogue, and not in a user's cache, so that committing
the file makes the first sight of one maintainer bind everyone.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from boinc2docker import atomic
from boinc2docker.base.lock import ARCHIVES
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, InputError

_PINS_HEADER = "# Digests seen at the first download of bases that publish none. Written by the build; commit it.\n"


@dataclass(frozen=True)
class Assembled:
    """A base that is built here."""

    name: str
    about: str


@dataclass(frozen=True)
class Download:
    """A base that is an ISO somewhere; ``digest`` is None if nobody publishes one."""

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
        """Raises InputError that lists what there is, and guesses what was meant."""
        if name in self.entries:
            return self.entries[name]
        near = difflib.get_close_matches(name, self.entries, 1)
        raise InputError(
            "unknown-base",
            f"unknown base {name!r}: neither a file nor one of {', '.join(self.entries)}",
            hint=f"did you mean {near[0]!r}?" if near else "--base takes a name of guest/bases.toml, a path or a URL",
        )


def read(path: Path) -> Catalogue:
    """Raises InputError if the file is missing or wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("bad-catalogue", f"cannot read {path.name}: {error}") from error
    return parse(text, name=path.name)


def parse(text: str, *, name: str = "bases.toml") -> Catalogue:
    """Raises InputError that names the entry and what is wrong with it."""
    document = _toml(text, name)
    bases = document.get("bases")
    if not isinstance(bases, dict) or not bases:
        raise InputError("bad-catalogue", f"{name}: expected at least one [bases.NAME]")
    entries = {key: _entry(key, value, f"{name}, base {key!r}") for key, value in bases.items()}
    default = document.get("default")
    if not isinstance(default, str) or default not in entries:
        raise InputError("bad-catalogue", f"{name}: expected the name of a base under 'default', found {default!r}")
    mirrors = document.get("mirrors", {})
    if not isinstance(mirrors, dict) or mirrors.keys() - set(ARCHIVES):
        raise InputError("bad-catalogue", f"{name}: [mirrors] may hold {', '.join(ARCHIVES)} and nothing else")
    lists = {key: _urls(value, f"{name}, mirrors of {key}") for key, value in mirrors.items()}
    snapshot = document.get("snapshot")
    if snapshot is not None:
        _urls([snapshot], f"{name}, snapshot")
    return Catalogue(default, entries, lists, snapshot)


def parse_pins(text: str, *, name: str = "base-pins.toml") -> dict[str, Digest]:
    """Digests by URL. Raises InputError."""
    try:
        return {url: Digest.parse(str(value)) for url, value in _toml(text, name).items()}
    except BuilderError as error:
        raise InputError("bad-pins", f"{name}: {error.message}") from error


def read_pins(path: Path) -> dict[str, Digest]:
    """Digests by URL; none if there is no file."""
    try:
        return parse_pins(path.read_text(encoding="utf-8"), name=path.name)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("bad-pins", f"cannot read {path.name}: {error}") from error


def write_pins(path: Path, pins: Mapping[str, Digest]) -> None:
    """Puts the pins under ``path``, sorted by URL."""
    lines = [f'"{url}" = "{digest}"\n' for url, digest in sorted(pins.items())]
    atomic.write_text(path, _PINS_HEADER + "".join(lines))


def _toml(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError("bad-catalogue", f"{name} is not TOML: {error}") from error


def _entry(name: str, value: Any, where: str) -> Entry:
    if not isinstance(value, dict):
        raise InputError("bad-catalogue", f"{where}: expected a table")
    about = str(value.get("about", ""))
    kind = value.get("kind")
    if kind == "assembled":
        _require_keys(value, {"kind", "about"}, where)
        return Assembled(name, about)
    if kind == "download":
        _require_keys(value, {"kind", "about", "urls", "sha256"}, where)
        return Download(name, about, _urls(value.get("urls"), where), _digest(value.get("sha256"), where))
    raise InputError("bad-catalogue", f"{where}: expected kind 'assembled' or 'download', found {kind!r}")


def _require_keys(value: Mapping[str, Any], allowed: set[str], where: str) -> None:
    if unknown := sorted(value.keys() - allowed):
        raise InputError("bad-catalogue", f"{where}: unknown key(s) {', '.join(unknown)}")


def _digest(value: Any, where: str) -> Digest | None:
    if value is None:
        return None
    try:
        return Digest.parse(str(value))
    except BuilderError as error:
        raise InputError("bad-catalogue", f"{where}: {error.message}") from error


def _urls(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise InputError("bad-catalogue", f"{where}: expected a list of URLs, found {value!r}")
    for url in value:
        if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https", "file") or '"' in url:
            raise InputError("bad-catalogue", f"{where}: not a URL: {url!r}")
    return tuple(value)
