"""Real engines, each with a storage of its own, and the agent's bundle."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from boinc2docker.base import Cache
from boinc2docker.base.agent_bundle import Bundles
from boinc2docker.base.obtain import Sources
from boinc2docker.container.wrapper import Engine
from boinc2docker.errors import NetworkError
from tests.conftest import needs
from tests.e2e.images import busybox_layer


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The bundle for this processor."""
    return obtained("amd64")


def obtained(architecture: str) -> Path:
    """A bundle. Skips where no Debian mirror can be reached."""
    try:
        return Bundles(Sources(cache=Cache.of_user()), locked=True).obtain(architecture)
    except NetworkError as error:
        pytest.skip(f"no Debian mirror can be reached: {error.message}")


@pytest.fixture(params=list(Engine))
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A real engine with a storage of its own."""
    if request.param is Engine.DOCKER:
        monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("docker_engine"))
        monkeypatch.setenv("DOCKER_BUILDKIT", "0")  # its program is another package, which hosts need not have
    else:
        needs("podman")
        if os.getuid() != 0:
            pytest.skip("this test runs Podman as root")
        storage = tmp_path / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/podman-run"\n'
        )
        monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
        settings = tmp_path / "containers.conf"  # for hosts where root may not raise limits, and with old cgroups
        settings.write_text(
            '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n'
        )
        monkeypatch.setenv("CONTAINERS_CONF", str(settings))
        require_podman()
    return Engine(request.param)


def require_podman(*argv: str) -> None:
    """Skips the test, with Podman's words, where it cannot start a container at all: without cgroups, say."""
    layer = subprocess.run(
        [*argv, "podman", "import", "-", "localhost/b2d-probe"], input=busybox_layer(), capture_output=True, check=False
    )
    words = ["run", "--rm", "--network=none", "localhost/b2d-probe", "/bin/true"]
    started = subprocess.run([*argv, "podman", *words], capture_output=True, text=True, check=False)
    subprocess.run([*argv, "podman", "rmi", "localhost/b2d-probe"], capture_output=True, check=False)
    if layer.returncode or started.returncode:
        said = (started.stderr.strip() or layer.stderr.decode(errors="replace").strip()).splitlines()
        pytest.skip(f"podman starts no container here: {said[-1][:300] if said else 'it said nothing'}")
