"""The assembled root file system, read by dissect.squashfs: what must be in it, and what must not."""

from __future__ import annotations

import io
import posixpath
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from debian.deb822 import Deb822
from dissect.squashfs import SquashFS

from boinc2docker.base import Base
from boinc2docker.base.debian import elf
from boinc2docker.formats import newc
from boinc2docker.iso import list_initramfs
from tests.base.debian import iso_files
from tests.equipment.checkout import PROJECT_ROOT

pytestmark = pytest.mark.timeout(1800)
LARGEST = 80_000_000 - 600_000
"""Bytes: the finished ISO may have 80 MB, of which the overlay and the embed area take some."""


def walk(directory: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, inode in directory.listdir().items():
        path = f"{above}/{name}"
        yield path, inode
        if inode.is_dir() and not inode.is_symlink():
            yield from walk(inode, path)


@pytest.fixture(scope="session")
def files(rootfs: SquashFS) -> dict[str, Any]:
    return dict(walk(rootfs.root))


def content(files: dict[str, Any], path: str) -> bytes:
    data: bytes = files[path].open().read()
    return data


def test_the_iso_leaves_room_for_the_overlay(debian_iso: Base) -> None:
    assert debian_iso.path.stat().st_size <= LARGEST


def test_nobody_gains_rights(files: dict[str, Any]) -> None:
    for path, inode in files.items():
        if inode.is_symlink():
            continue
        mode = stat.S_IMODE(inode.mode)
        assert not mode & 0o6000, f"{path} is set-user-id"
        assert path in ("/tmp", "/var/tmp") or not mode & 0o022, f"{path} may be written by others: {mode:o}"
        assert (inode.uid, inode.gid) == (0, 0)
        assert inode.is_dir() or inode.is_file(), f"{path} is neither file nor directory"


def test_nobody_can_log_in(files: dict[str, Any]) -> None:
    assert stat.S_IMODE(files["/etc/shadow"].mode) == 0o600
    for line in content(files, "/etc/shadow").decode().splitlines():
        assert line.split(":")[1].startswith("!")
    names = {posixpath.basename(path) for path in files}
    assert not names & {"getty", "login", "su", "sshd", "telnetd", "httpd", "udhcpd", "crond", "ctr"}
    assert "getty" not in content(files, "/etc/inittab").decode().replace("no getty", "")


def test_links_lead_somewhere(files: dict[str, Any]) -> None:
    for path, inode in files.items():
        if not inode.is_symlink() or inode.link.startswith(("/proc/", "/run")):
            continue
        assert resolve(files, path) is not None, f"{path} -> {inode.link}"


def resolve(files: dict[str, Any], path: str) -> str | None:
    """Follows links, component by component."""
    left, at = [part for part in path.split("/") if part], ""
    for _ in range(200):
        if not left:
            return at
        part = left.pop(0)
        at = posixpath.dirname(at).rstrip("/") if part == ".." else at if part in (".", "") else f"{at}/{part}"
        if at and at not in files:
            return None
        if at and files[at].is_symlink():
            target = files[at].link
            left = [*target.split("/"), *left]
            at = "" if target.startswith("/") else posixpath.dirname(at).rstrip("/")
    return None


def test_programs_find_their_libraries(files: dict[str, Any]) -> None:
    checked = 0
    for path, inode in files.items():
        if not inode.is_file() or inode.is_symlink() or path.endswith(".ko") or inode.size < 64:
            continue
        if not elf.is_elf(inode.open().read(4)):
            continue
        checked += 1
        for library in elf.needed_libraries(content(files, path)):
            assert resolve(files, f"/usr/lib/x86_64-linux-gnu/{library}"), f"{path} needs {library}"
    assert checked > 60


def test_every_dependency_of_a_module_is_there(files: dict[str, Any], debian_iso: Base) -> None:
    top = f"/usr/lib/modules/{debian_iso.facts['kernel']}"
    table = dict(line.split(":", 1) for line in content(files, f"{top}/modules.dep").decode().splitlines())
    shipped = {path.removeprefix(f"{top}/") for path in files if path.endswith(".ko")}
    assert set(table) == shipped
    assert {need for needs in table.values() for need in needs.split()} <= shipped
    names = {posixpath.basename(path).removesuffix(".ko").replace("-", "_") for path in shipped}
    lists = tomllib.loads((PROJECT_ROOT / "guest/debian/image.toml").read_text())["modules"]
    builtin = content(files, f"{top}/modules.builtin").decode().replace("-", "_")
    for name in (name.replace("-", "_") for key in ("initrd", "hardware", "boot", "demand") for name in lists[key]):
        assert name in names or f"/{name}.ko" in builtin


def test_what_maintainer_scripts_would_have_done_is_done(files: dict[str, Any]) -> None:
    for name in ("iptables", "ip6tables", "iptables-save", "ip6tables-restore"):
        assert resolve(files, f"/usr/sbin/{name}") == "/usr/sbin/xtables-nft-multi"
    assert resolve(files, "/bin/sh") == "/usr/bin/busybox"
    assert resolve(files, "/sbin/init") == "/usr/bin/busybox"
    assert resolve(files, "/bin/tar") == "/usr/bin/tar"
    assert resolve(files, "/sbin/mke2fs") == "/usr/sbin/mke2fs"
    assert resolve(files, "/sbin/modprobe") == "/usr/bin/kmod"
    assert resolve(files, "/usr/bin/docker-init") == "/usr/bin/tini-static"
    assert files["/var/run"].link == "/run"
    assert "docker:" in content(files, "/etc/group").decode()
    assert content(files, "/etc/ssl/certs/ca-certificates.crt").count(b"-----BEGIN CERTIFICATE-----") > 100


def test_dpkg_knows_exactly_what_is_in_the_image(files: dict[str, Any], debian_iso: Base) -> None:
    paragraphs = Deb822.iter_paragraphs(io.BytesIO(content(files, "/var/lib/dpkg/status")))
    recorded = {(found["Package"], found["Version"]) for found in paragraphs}
    packages: Any = debian_iso.facts["packages"]
    assert recorded == {(package["name"], package["version"]) for package in packages}
    assert {"docker.io", "busybox-static", "isolinux"} <= {name for name, _ in recorded}
    assert "squashfs-tools" not in {name for name, _ in recorded}


def test_every_package_brings_its_licence(files: dict[str, Any], debian_iso: Base) -> None:
    packages: Any = debian_iso.facts["packages"]
    for package in packages:
        assert resolve(files, f"/usr/share/doc/{package['name']}/copyright"), package["name"]


def test_nothing_is_carried_that_nobody_uses(files: dict[str, Any]) -> None:
    for unwanted in ("/usr/share/man", "/usr/share/locale", "/usr/lib/systemd", "/usr/lib/x86_64-linux-gnu/gconv"):
        assert unwanted not in files


def test_the_initrd_finds_the_cd(debian_iso: Base, tmp_path: Path) -> None:
    packed = iso_files.read(debian_iso.path, "/boot/initrd.img", tmp_path)
    entries: dict[str, newc.Entry] = list_initramfs(packed, keep=lambda name: True)
    order = entries["lib/modules/order"].data.decode().split()
    assert {"isofs.ko", "squashfs.ko", "overlay.ko", "sr_mod.ko", "ahci.ko"} <= set(order)
    for position, name in enumerate(order):
        needs = elf.module_facts(entries[f"lib/modules/{name}"].data).get("depends", [""])[0]
        assert {f"{need}.ko" for need in needs.split(",") if need} <= set(order[:position])
    assert entries["init"].mode == stat.S_IFREG | 0o755
    assert not elf.needed_libraries(entries["bin/busybox"].data)
    config = iso_files.read(debian_iso.path, "/isolinux/isolinux.cfg", tmp_path).decode()
    assert "initrd /boot/initrd.img" in config
    assert "console=ttyS0" in config
