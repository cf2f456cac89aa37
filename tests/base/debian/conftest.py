"""A spool for every test; the real locked packages and the real base ISO once a session, from the user's own cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from dissect.squashfs import SquashFS

from boinc2docker.base import Base, Cache, Sources, obtain
from boinc2docker.base.debian.toolbox import Toolbox, unpack
from boinc2docker.base.debian.tree import Spool
from boinc2docker.base.lock import LockedPackage
from boinc2docker.errors import NetworkError
from tests.base.debian.iso_files import extract

_CACHE = Cache.of_user()
"""Looked up before the tests of this part hide the user's cache from each other."""


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with (tmp_path / "spool").open("w+b") as stream:
        yield Spool(stream)


@pytest.fixture(scope="session")
def locked_packages() -> Mapping[LockedPackage, Path]:
    """The packages of packages.lock with their files."""
    debian = Sources(cache=_CACHE).debian()
    try:
        return debian.packages(debian.current_lock(locked=True), locked=True)[1]
    except NetworkError as error:
        pytest.skip(f"the locked packages are not in the cache and cannot be downloaded: {error.message}")


@pytest.fixture(scope="session")
def toolbox(locked_packages: Mapping[LockedPackage, Path], tmp_path_factory: pytest.TempPathFactory) -> Toolbox:
    """The build's native tools out of their locked packages."""
    work = tmp_path_factory.mktemp("toolbox")
    tools = [(locked.name, path) for locked, path in locked_packages.items() if "tools" in locked.sections]
    with (work / "spool").open("w+b") as stream:
        return unpack(tools, work / "tools", Spool(stream))


@pytest.fixture(scope="session")
def debian_iso() -> Base:
    """The debian base of this checkout, assembled now if it is not in the cache (some minutes)."""
    try:
        return obtain("debian", locked=True, sources=Sources(cache=_CACHE))
    except NetworkError as error:
        pytest.skip(f"the locked packages are not in the cache and cannot be downloaded: {error.message}")


@pytest.fixture(scope="session")
def rootfs(debian_iso: Base, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SquashFS]:
    """The root file system, read by other code than wrote it."""
    image = tmp_path_factory.mktemp("rootfs") / "rootfs.squashfs"
    extract(debian_iso.path, "/boot/rootfs.squashfs", image)
    with image.open("rb") as stream:
        yield SquashFS(stream)
