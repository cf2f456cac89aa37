"""A rig for the store's tests: a registry, a scratch folder, machines that end with the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.e2e.store_rig import Rig
from tests.work.real_services import running_registry


@pytest.fixture
def rig(iso: Path, tmp_path: Path) -> Iterator[Rig]:
    needs("qemu-system-x86_64", "docker-registry")
    with running_registry(tmp_path / "registry") as registry:
        made = Rig(tmp_path, registry, iso)
        try:
            yield made
        finally:
            made.stop()
