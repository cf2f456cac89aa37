"""What a project's own Python environment is copied from: this package, and the packages that it needs.

The files are those that this process runs from, as pip recorded them; so no network and no installer is needed.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import boinc2docker
from boinc2docker import places
from boinc2docker.app import template
from boinc2docker.errors import HostError

NAME = "boinc2docker"
EXTRAS = ("numpy",)
"""What validators and a project's own rules use if it is installed."""

SITE = Path(sysconfig.get_path("purelib", "venv", {"base": "/base"})).relative_to("/base")
"""Where a virtual environment of this Python has its packages, below its root."""

Contents = Mapping[str, Path | bytes]
"""Files by their place below an environment's root: where each is now, or its bytes."""


def contents() -> Contents:
    """Everything that an environment holds besides its interpreter. Raises HostError for packages without a record."""
    found: dict[str, Path | bytes] = dict(own_files(Path(boinc2docker.__file__).parent, template.DIRECTORY))
    for one in _needed():
        for name, path in _recorded(one):
            found.setdefault(str(SITE / name), path)
    return found


def own_files(package: Path, templates: Path) -> Iterator[tuple[str, Path]]:
    """This package and its templates, laid out as a wheel has them (``places``), wherever they lie now.

    ``guest`` is left out: nothing on a server reads it.
    """
    home = SITE / package.name
    for place, path in _tree(package, home):
        if not path.is_relative_to(package / "data"):
            yield place, path
    yield from _tree(templates, home / "data" / "app_template")


def _tree(root: Path, target: Path) -> Iterator[tuple[str, Path]]:
    """The files below ``root``; of compiled ones those that this Python made."""
    tag = f".{sys.implementation.cache_tag}.pyc"
    for path in sorted(root.rglob("*")):
        if path.is_file() and (path.parent.name != "__pycache__" or path.name.endswith(tag)):
            yield str(target / path.relative_to(root)), path


def _needed() -> list[Distribution]:
    """The installed distributions that this one requires, and those that they require, sorted by name."""
    found: dict[str, Distribution] = {}
    waiting = [*_required(), *EXTRAS]
    while waiting:
        name = _normal(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except PackageNotFoundError:
            continue  # for another system or another Python; the trial run finds what is really lacking
        waiting += _names(found[name].requires or ())
    return [one for _, one in sorted(found.items())]


def _required() -> list[str]:
    """The names that this package requires itself: as the checkout's pyproject.toml says, else as it was installed."""
    if places.CHECKOUT is not None:
        document = tomllib.loads((places.CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
        return list(_names(document["project"]["dependencies"]))
    try:
        return [NAME, *_names(importlib.metadata.requires(NAME) or ())]
    except PackageNotFoundError as error:
        hint = "run package-app from a checkout, or from where pip, pipx or uv installed boinc2docker"
        raise HostError("cannot-copy", "nothing tells which packages this one needs", hint=hint) from error


def _names(requirements: Iterable[str]) -> Iterator[str]:
    """The names in ``requirements`` that are no optional extras' (PEP 508)."""
    for text in requirements:
        wanted, _, marker = text.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", wanted)
        if name and "extra" not in marker:
            yield name[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _recorded(one: Distribution) -> Iterator[tuple[str, Path]]:
    """A distribution's files below its directory of packages; programs that pip puts elsewhere are left out."""
    files = one.files
    name = one.metadata["Name"]
    hint = "run package-app in an environment that pip, pipx, uv or ci/environment made"
    if files is None:
        raise HostError("cannot-copy", f"{name} was installed without a list of its files", hint=hint)
    for file in files:
        if ".." in file.parts or file.is_absolute() or file.parts[0] == NAME:  # which ``own_files`` knows
            continue
        path = Path(str(one.locate_file(file)))
        if path.is_file():
            yield str(file), path
        elif file.suffix != ".pyc":
            raise HostError("cannot-copy", f"{path}, a file of {name}, is missing", hint="install it again")
