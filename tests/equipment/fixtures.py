"""Fixtures that several rooms share: an HTTP server, a registry, a Docker engine, a small disk."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from boinc2docker.fetch import Cache, Patience
from boinc2docker.image.registry import Access
from tests.equipment.real_registry import RealRegistry
from tests.equipment.scripted_registry import ScriptedRegistry
from tests.equipment.services import running_engine, running_registry


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    where = tmp_path / "tiny"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield where
    subprocess.run(["umount", where], check=True)


@pytest.fixture(scope="session")
def docker_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Docker engine that runs for these tests only, in a directory of its own."""
    with running_engine(tmp_path_factory.mktemp("d")) as address:
        yield address


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A real registry for these tests; each test pushes into repositories of its own."""
    with running_registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Access:
    """Impatient, with a cache of its own, no credentials but what the test puts into an empty Docker config."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker-config"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    quick = Patience(connect=1, read=1, attempts=3, first_wait=0.01, longest_wait=0.3)
    return Access(cache=Cache(tmp_path / "cache"), patience=quick)


@pytest.fixture
def scripted(server: HTTPServer) -> ScriptedRegistry:
    """A registry that does what the test tells it."""
    return ScriptedRegistry(server)


@pytest.fixture(scope="session")
def one_server() -> Iterator[HTTPServer]:
    """A server that answers several requests at a time, and on HTTP/1.0 closes after each; stopping one takes 0.5 s."""
    made = HTTPServer(host="127.0.0.1", port=0, threaded=True)
    made.start()
    yield made
    made.clear()
    made.stop()


@pytest.fixture
def server(one_server: HTTPServer) -> Iterator[HTTPServer]:
    """The server, without what other tests had it answer."""
    one_server.clear()
    yield one_server
    one_server.clear()


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()
