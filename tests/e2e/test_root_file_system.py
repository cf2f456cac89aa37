"""testinfra looks into the assembled root file system, entered with chroot: its own programs run in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from testinfra.backend.chroot import ChrootBackend
from testinfra.host import Host

from tests.conftest import needs


@pytest.fixture(scope="module")
def root(iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("xorriso", "unsquashfs", "chroot")
    if os.getuid() != 0:
        pytest.skip("chroot needs root")
    work = tmp_path_factory.mktemp("rootfs")
    squashfs = work / "rootfs.squashfs"
    extract = ["xorriso", "-osirrox", "on", "-indev", str(iso), "-extract", "/boot/rootfs.squashfs", str(squashfs)]
    for argv in (extract, ["unsquashfs", "-no-progress", "-no-xattrs", "-d", str(work / "root"), str(squashfs)]):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return work / "root"


@pytest.fixture(scope="module")
def machine(root: Path) -> Host:
    return Host(ChrootBackend(str(root)))


@pytest.mark.parametrize(
    "command",
    [
        "dockerd --version",
        "docker --version",
        "containerd --version",
        "runc --version",
        "curl --version",
        "/usr/bin/tar --version",
        "/usr/bin/gzip --version",
        "mke2fs -V",
        "e2fsck -V",
        "iptables --version",
        "modprobe --version",
    ],
)
def test_programs_run_with_what_is_there(machine: Host, command: str) -> None:
    assert machine.run(command).rc == 0


def test_what_maintainer_scripts_would_have_done(machine: Host) -> None:
    assert machine.file("/usr/sbin/iptables").linked_to == "/usr/sbin/xtables-nft-multi"
    assert "docker:" in machine.file("/etc/group").content_string
    assert machine.file("/etc/ssl/certs/ca-certificates.crt").content.count(b"BEGIN CERTIFICATE") > 100
    for name, target in (("/bin", "/usr/bin"), ("/sbin", "/usr/sbin"), ("/lib", "/usr/lib")):
        assert machine.file(name).linked_to == target
    assert machine.file("/var/run").linked_to == "/run"


def test_nobody_can_log_in(machine: Host) -> None:
    assert all(line.split(":")[1] in {"*", "!", "!*"} for line in machine.file("/etc/shadow").content_string.split())
    assert not machine.exists("sshd")
    assert not machine.exists("getty")
    assert not machine.exists("login")


def test_opt_is_left_to_the_overlay(machine: Host) -> None:
    assert machine.file("/opt").is_directory
    assert machine.check_output("ls -A /opt") == ""


def test_nothing_runs_with_more_rights_than_its_caller(root: Path) -> None:
    found = subprocess.run(["find", str(root), "-perm", "/6000", "-type", "f"], capture_output=True, check=True).stdout
    assert found == b""
