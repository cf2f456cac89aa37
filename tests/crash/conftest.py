"""Where states are made: in memory, if this machine has a file system there, for there are thousands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from boinc2docker import leftovers
from tests.guest.conftest import machines, make, scratch, server

__all__ = ["machines", "make", "memory", "scratch", "server"]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory of this test's own."""
    shared = Path("/dev/shm")
    with leftovers.scratch(shared if os.access(shared, os.W_OK) else tmp_path) as made:
        yield made
