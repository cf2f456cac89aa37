"""``guest/debian/image.toml``: which of the packages' files the image gets, and what is added.

``*`` in a pattern matches any characters, slashes too (fnmatch(3) without FNM_PATHNAME).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from boinc2docker.formats.toml_settings import Text, TomlFile, matching


@dataclass(frozen=True)
class Selection:
    """Which files of each package the image gets: the table ``[files]``."""

    drop: tuple[str, ...]
    keep: tuple[str, ...]
    only: Mapping[str, tuple[str, ...]]

    def of(self, package: str) -> Chosen:
        return Chosen(self.drop, self.keep, self.only.get(package))


class Chosen:
    """The rules for one package. They remember what they matched."""

    def __init__(self, drop: tuple[str, ...], keep: tuple[str, ...], only: tuple[str, ...] | None) -> None:
        self._drop, self._keep, self._only = drop, keep, only
        self._used: set[str] = set()

    def __call__(self, path: str) -> bool:
        """Whether the file belongs in the image."""
        if _matches(path, self._keep):
            return True
        if self._only is not None:
            found = [pattern for pattern in self._only if fnmatch.fnmatchcase(path, pattern)]
            self._used.update(found)
            return bool(found)
        return not _matches(path, (*self._drop, "usr/share/doc*"))

    @property
    def unused(self) -> list[str]:
        """Patterns of the package's own list that matched nothing so far."""
        return sorted(set(self._only or ()) - self._used)


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


@dataclass(frozen=True)
class ModuleLists:
    """Kernel modules by their purpose in the image; ``without``: soft dependencies to leave out."""

    initrd: tuple[str, ...]
    hardware: tuple[str, ...]
    boot: tuple[str, ...]
    demand: tuple[str, ...]
    without: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.initrd, *self.hardware, *self.boot, *self.demand)


@dataclass(frozen=True)
class Recipe:
    """The content of image.toml."""

    selection: Selection
    directories: Mapping[str, int]
    modes: Mapping[str, int]
    links: Mapping[str, str]
    applets_without: tuple[str, ...]
    modules: ModuleLists
    volume: str


Mode = Annotated[str, matching("[0-7]{3,4}", 'an octal mode such as "0755"')]


@dataclass(frozen=True)
class _Busybox:
    without: tuple[str, ...]


@dataclass(frozen=True)
class _Iso:
    volume: Text


@dataclass(frozen=True)
class _Document:
    """The whole file."""

    files: Selection
    directories: Mapping[str, Mode]
    modes: Mapping[str, Mode]
    links: Mapping[str, Text]
    busybox: _Busybox
    modules: ModuleLists
    iso: _Iso


_FILE = TomlFile(_Document, "bad-recipe")


def read(path: Path) -> Recipe:
    """Raises InputError if the file is missing or wrong."""
    document = _FILE.read(path)
    return Recipe(
        selection=document.files,
        directories={place: int(mode, 8) for place, mode in document.directories.items()},
        modes={place: int(mode, 8) for place, mode in document.modes.items()},
        links=document.links,
        applets_without=document.busybox.without,
        modules=document.modules,
        volume=document.iso.volume,
    )
