"""Fixtures of downloading: an environment, a cache and an impatient downloader of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.download import Downloader
from boinc2docker.fetch.transfer import Patience
from tests.equipment.scripted_server import QUICK


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test uses the user's cache, mirrors, proxies or epoch."""
    monkeypatch.setenv("BOINC2DOCKER_CACHE", str(tmp_path / "user-cache"))
    for name in ("BOINC2DOCKER_DEBIAN_MIRROR", "BOINC2DOCKER_SECURITY_MIRROR", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def quick() -> Patience:
    return QUICK


@pytest.fixture
def downloader(cache: Cache) -> Downloader:
    return Downloader(cache, patience=QUICK)
