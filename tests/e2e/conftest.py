"""A rig for the store's tests: a registry, a scratch folder, machines that end with the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from boinc2docker.cli.run import LIKE
from boinc2docker.vm.machine import Like
from tests.conftest import needs, needs_vboxsf
from tests.e2e.store_rig import Rig
from tests.equipment.services import running_registry


@pytest.fixture(params=["9p", "vboxsf"])
def shares(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the test's machines get at their files; every ``run`` that the test starts obeys it."""
    over = str(request.param)
    if over == "vboxsf":
        needs_vboxsf()
    monkeypatch.setenv(LIKE, Like.VIRTUALBOX if over == "vboxsf" else Like.QEMU)
    return over


@pytest.fixture
def rig(iso: Path, tmp_path: Path) -> Iterator[Rig]:
    needs("qemu-system-x86_64", "docker-registry")
    with running_registry(tmp_path / "registry") as registry:
        made = Rig(tmp_path, registry, iso)
        try:
            yield made
        finally:
            made.stop()
