"""``guest/debian/image.toml``: what becomes of the packages' files, and what is added to them.

``*`` in a pattern matches any characters, slashes too (fnmatch(3) without FNM_PATHNAME).
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker.errors import InputError


@dataclass(frozen=True)
class Selection:
    """Which files of which package come into the image."""

    drop: tuple[str, ...]
    keep: tuple[str, ...]
    only: Mapping[str, tuple[str, ...]]

    def of(self, package: str) -> Chosen:
        return Chosen(self.drop, self.keep, self.only.get(package))


class Chosen:
    """The rules for one package, which remember what they matched."""

    def __init__(self, drop: tuple[str, ...], keep: tuple[str, ...], only: tuple[str, ...] | None) -> None:
        self._drop, self._keep, self._only = drop, keep, only
        self._used: set[str] = set()

    def __call__(self, path: str) -> bool:
        """True if the file belongs into the image."""
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
    """Kernel modules by the reason they are in the image for; ``without``: soft dependencies to do without."""

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
    """The whole of image.toml."""

    selection: Selection
    directories: Mapping[str, int]
    modes: Mapping[str, int]
    links: Mapping[str, str]
    applets_without: tuple[str, ...]
    modules: ModuleLists
    volume: str


def read(path: Path) -> Recipe:
    """Raises InputError if the file is missing or wrong."""
    try:
        return _recipe(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError("bad-recipe", f"cannot read {path.name}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("bad-recipe", f"{path.name}: missing or wrong: {error}") from error


def _recipe(document: Mapping[str, Any]) -> Recipe:
    files, modules = document["files"], document["modules"]
    return Recipe(
        selection=Selection(
            drop=_texts(files["drop"]),
            keep=_texts(files["keep"]),
            only={package: _texts(patterns) for package, patterns in files["only"].items()},
        ),
        directories={path: int(mode, 8) for path, mode in document["directories"].items()},
        modes={path: int(mode, 8) for path, mode in document["modes"].items()},
        links={str(path): str(target) for path, target in document["links"].items()},
        applets_without=_texts(document["busybox"]["without"]),
        modules=ModuleLists(
            **{key: _texts(modules[key]) for key in ("initrd", "hardware", "boot", "demand", "without")}
        ),
        volume=str(document["iso"]["volume"]),
    )


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"expected a list of texts, found {value!r}")
    return tuple(value)
