"""The locked packages with their files, from the user's own cache; the test skips where they cannot be had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from boinc2docker.base import Sources
from boinc2docker.base.lock import Lock, LockedPackage
from boinc2docker.errors import NetworkError


def locked_packages() -> tuple[Lock, Mapping[LockedPackage, Path]]:
    debian = Sources().debian()
    try:
        return debian.packages(debian.current_lock(locked=True), locked=True)
    except NetworkError as error:
        pytest.skip(f"the locked packages are not in the cache and cannot be downloaded: {error.message}")
