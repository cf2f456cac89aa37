"""A clean system in a directory: a Debian that debootstrap has just made, entered by chroot with mounts of its own."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from boinc2docker.base import catalogue, mirrors
from tests.conftest import needs
from tests.equipment.checkout import PROJECT_ROOT

# The shell stays: it is the first process of its namespace, and all others end with it.
# The system's own root is a mount, as everywhere else: programs like df look for it.
ENTER = """
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm"
at=$1 user=$2
shift 2
chroot --userspec="$user" "$0" env -C "$at" "$@"
exit
"""
CERTIFICATES = "/etc/ssl/host.crt"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL", *mirrors.VARIABLES.values())


@dataclass(frozen=True)
class CleanRoot:
    """A system and how one works in it: ``user`` is a number, ``cores`` None is all."""

    path: Path
    user: int = 0
    umask: int = 0o022
    cores: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, words: Sequence[str], *, at: str) -> str:
        """What the command prints, started in ``at``. Nothing it has started outlives it."""
        variables = {name: os.environ[name] for name in NETWORK if name in os.environ}
        variables |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.home}
        variables |= {"PIP_CERT": CERTIFICATES, "SSL_CERT_FILE": CERTIFICATES, **self.environment}
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", ENTER, str(self.path), at]
        if self.cores is not None:
            argv = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[: self.cores])), *argv]
        argv += [f"{self.user}:{self.user}", *words]
        done = subprocess.run(argv, env=variables, umask=self.umask, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    @property
    def home(self) -> str:
        return "/root" if self.user == 0 else "/home/somebody"

    def clone(self, at: str, commit: str) -> None:
        """This commit, as its user's."""
        (self.path / self.home[1:]).mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "-q", PROJECT_ROOT, self.path / at[1:]], check=True)
        subprocess.run(["git", "-C", self.path / at[1:], "checkout", "-q", commit], check=True)
        self.own(self.home)
        self.own(at)

    def own(self, at: str) -> None:
        """Gives the file or directory to the user."""
        subprocess.run(["chown", "-R", f"{self.user}:{self.user}", self.path / at[1:]], check=True)


def sources(suite: str, apt: Path = Path("/etc/apt")) -> dict[str, str]:
    """The mirror to take each of the suite's two archives from, of those the project itself would ask, best first."""
    found = mirrors.choose(catalogue.read(PROJECT_ROOT / "guest" / "bases.toml").mirrors, apt=apt).archives
    return {suite: found[mirrors.ARCHIVE][0], f"{suite}-security": found[mirrors.SECURITY][0]}


def debootstrap(path: Path, suite: str, locale: str | None = None) -> Path:
    """Debian's minimal system of this suite, with Python, git, a locale (xx_YY.UTF-8). Skips where it cannot be had."""
    needs("debootstrap", "unshare", "git", "taskset")
    if os.getuid() != 0:
        pytest.skip("only root can make a system in a directory")
    if not KEYRING.exists():
        pytest.skip("debian-archive-keyring is not installed (ci/prepare-tests installs it as root)")
    archives = sources(suite)
    packages = ["python3-venv", "git", "ca-certificates", *(["locales"] if locale else [])]
    # What debootstrap mounts and starts ends with it, however it ends.
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    options = ["--variant=minbase", f"--keyring={KEYRING}", f"--include={','.join(packages)}"]
    argv = [*alone, "debootstrap", *options, suite]
    done = subprocess.run([*argv, path, archives[suite]], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    if locale:
        name, charset = locale.split(".")
        subprocess.run(["chroot", path, "localedef", "-i", name, "-f", charset, locale], check=True)
    lines = [f"deb {url} {each} main\n" for each, url in archives.items()]
    (path / "etc/apt/sources.list").write_text("".join(lines))
    for name in ("resolv.conf", "hosts"):
        shutil.copy(Path("/etc") / name, path / "etc" / name)
    trusted = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile
    shutil.copy(trusted or "/etc/ssl/certs/ca-certificates.crt", path / CERTIFICATES[1:])
    return path
