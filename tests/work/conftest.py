"""Fixtures of real things: a small disk, a Docker engine of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import requests

from builder.fetch import Cache, Patience
from builder.work import Access
from tests.base.conftest import one_server, server
from tests.work.real_registry import RealRegistry, running_registry

__all__ = ["one_server", "server"]


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
    program = shutil.which("dockerd")
    if program is None:
        pytest.skip("dockerd is not installed (Debian: apt-get install docker.io)")
    if os.getuid() != 0:
        pytest.skip("dockerd needs root")
    root = tmp_path_factory.mktemp("d")
    address = f"unix://{root}/s"
    argv = [
        program,
        "--data-root",
        root / "data",
        "--exec-root",
        root / "exec",
        "--pidfile",
        root / "pid",
        "-H",
        address,
    ]
    argv += ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    with (root / "log").open("wb") as log:
        engine = subprocess.Popen([str(word) for word in argv], stdout=log, stderr=log)
    try:
        if not answers(engine, address):
            pytest.skip("dockerd does not run on this machine: " + (root / "log").read_text()[-500:])
        yield address
    finally:
        engine.terminate()
        try:
            engine.wait(30)
        except subprocess.TimeoutExpired:
            engine.kill()
            engine.wait()
        shutil.rmtree(root, ignore_errors=True)


def answers(engine: subprocess.Popen[bytes], address: str) -> bool:
    for _ in range(300):
        if engine.poll() is not None:
            return False
        try:
            client = docker.DockerClient(base_url=address)
            client.ping()
            client.close()
        except (docker.errors.DockerException, requests.RequestException):
            time.sleep(0.1)
        else:
            return True
    return False


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
