"""ISOs that several tests read, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker.digest import Digest
from boinc2docker.iso import BaseIdentity, remaster
from tests.iso import sample_iso

EPOCH = 1_700_000_000


def base_identity(iso: Path) -> BaseIdentity:
    facts = {"kernel": "4.19.130", "docker": "19.03.12", "packages": [{"name": "docker", "version": "19.03.12"}]}
    return BaseIdentity("sample", Digest.of_file(iso), facts)


def remastered(base: Path, output: Path, overlay: Path) -> Path:
    return remaster(base, output, base=base_identity(base), version="2.0.0", epoch=EPOCH, overlay=overlay).path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOINC2DOCKER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_iso.sample_overlay(tmp_path_factory.mktemp("overlay"))


@pytest.fixture(scope="session")
def new_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """boot2docker's layout since 18.09."""
    return sample_iso.build(sample_iso.new_layout(), tmp_path_factory.mktemp("new") / "base.iso")


@pytest.fixture(scope="session")
def old_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """boot2docker's layout up to 18.06, with Joliet."""
    return sample_iso.build(sample_iso.old_layout(), tmp_path_factory.mktemp("old") / "base.iso")


@pytest.fixture
def ours(new_base: Path, overlay: Path, tmp_path: Path) -> Path:
    """A remastered ISO of the test's own."""
    return remastered(new_base, tmp_path / "ours.iso", overlay)
