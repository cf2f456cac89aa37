"""The README's first command in a fresh clone, as an ordinary user: same bytes as anywhere else.

Another directory, user, home, time zone, umask, locale and hash seed, and everything assembled anew from the locked
packages. Only the downloads are shared, so that the test works without a network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from boinc2docker.base import Cache, Sources
from tests.conftest import needs
from tests.equipment.checkout import PROJECT_ROOT

NOBODY = 65534


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="boinc2docker-clone-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def clone(room: Path) -> Path:
    """What is committed or about to be, in a directory of its own."""
    where = room / "a clone of it"
    where.mkdir()
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in sorted(filter(None, map(os.fsdecode, names)), reverse=True):
        if (PROJECT_ROOT / name).is_file():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT_ROOT / name, where / name)
    return where


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_an_ordinary_user_builds_the_same_bytes(built: dict[str, object], clone: Path, room: Path) -> None:
    python = "/usr/bin/python3"
    probe = subprocess.run(
        [python, "-c", "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"], check=False
    )
    if probe.returncode != 0:
        pytest.skip("no /usr/bin/python3 of at least 3.11 with venv, which an ordinary user could run")
    home = room / "home"
    home.mkdir()
    cache = room / "cache"
    cached = Cache.of_user()
    debian = Sources(cache=cached).debian()
    for package in debian.current_lock(locked=True).packages:
        source = cached.path(package.digest)
        target = Cache(cache).path(package.digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    argv = ["sh", "-c", "umask 027; exec ci/invoke build-iso --locked --json"]
    if os.getuid() == 0:
        needs("setpriv", "chown")
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", room], check=True)
        argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv]
    kept = ("PATH", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "NO_PROXY")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(home),
        "PYTHON": python,
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "12345",
        "BOINC2DOCKER_CACHE": str(cache),
        "TMPDIR": str(home),
    }
    done = subprocess.run(argv, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    iso = clone / "build" / "boinc2docker-2.0.0.iso"
    assert str(built["sha256"]) in done.stdout
    assert iso.read_bytes() == Path(str(built["iso"])).read_bytes()
    assert iso.stat().st_size <= 80_000_000
