"""One process at a time for each work unit, and for making the index: locks below the results' directory."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path

from boinc2docker import locks as exclusion

DIRECTORY = ".locks"


def exclusively(root: Path, name: str) -> AbstractContextManager[None]:
    """Waits until nobody else holds ``name`` below ``root``."""
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    return exclusion.exclusively(root / DIRECTORY / digest[:32])
