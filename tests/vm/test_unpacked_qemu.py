"""The QEMU of ci/qemu.lock: what is locked, and how it gets into the cache, with packages of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from boinc2docker.base import lock as locks
from boinc2docker.base import package_list
from boinc2docker.base.obtain import Sources
from boinc2docker.errors import CommandError, InputError, VerificationError
from boinc2docker.fetch import Cache
from boinc2docker.vm.vfio_qemu import has_device, unpacked
from ci import qemu
from tests.base.debian.deb_writer import entry, folder, write
from tests.base.debian_archive import Deb, Mirror, key
from tests.equipment.checkout import PROJECT_ROOT
from tests.test_linters import BIN, passes

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = b"""\
#!/bin/sh
# Stands in for the loader: shows its arguments.
printf '%s\\n' "$@" "modules $QEMU_MODULE_DIR" 'socket=<SocketAddress>'
"""
LIST = """\
suite = "trixie"
architecture = "amd64"
[[index]]
archive = "debian"
suite = "trixie"
[sections.qemu]
packages = ["libc6", "qemu-system-x86"]
"""


class World:
    """A mirror with a QEMU of two packages, a list, a lock and a cache."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, loader: bytes = LOADER) -> None:
        self.root, self.mirror = root, Mirror(root / "mirror")
        self.cache = Cache(root / "cache")
        guest = root / "guest"
        (guest / "debian" / "keys").mkdir(parents=True)
        shutil.copy(PROJECT_ROOT / "guest" / "bases.toml", guest)
        (guest / "debian" / "keys" / "test.asc").write_bytes(bytes(self.mirror.signer.extract_certificate()))
        self.sources = Sources(guest, self.cache, mirror=self.mirror.url, security_mirror=self.mirror.url)
        (root / "qemu.toml").write_text(LIST)
        monkeypatch.setattr(qemu, "LIST", root / "qemu.toml")
        monkeypatch.setattr(qemu, "LOCK", root / "qemu.lock")
        self.publish(loader)
        qemu.update(self.sources)

    def publish(self, loader: bytes) -> None:
        libc = write(
            self.root / "libc6.deb",
            "libc6",
            [
                folder("./usr/"),
                entry(f"./{LIBRARIES}/ld-linux-x86-64.so.2", loader, mode=0o755),
                entry("./etc/ld.so.conf", b"left out"),
            ],
        )
        system = write(
            self.root / "qemu.deb",
            "qemu-system-x86",
            [
                entry("./usr/bin/qemu-system-x86_64", b"program", mode=0o4755),
                entry("./usr/bin/qemu-system-i386", b"left out", mode=0o755),
                entry("./usr/share/qemu/bios.bin", b"firmware"),
            ],
        )
        self.mirror.publish(
            "trixie",
            Deb("libc6", content=libc.read_bytes()),
            Deb("qemu-system-x86", content=system.read_bytes(), fields={"Depends": "libc6"}),
        )


def test_the_lock_is_that_of_the_list_and_names_no_host() -> None:
    lock = locks.read(qemu.LOCK)
    locks.require_current(lock, package_list.read(qemu.LIST).digest)
    assert lock["qemu-system-x86"].version.split(":")[-1] >= "10.1"
    assert "http" not in qemu.LOCK.read_text()
    assert {package.archive for package in lock.packages} <= {"debian", "debian-security"}


def test_it_is_unpacked_once_and_runs_with_its_own_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch)
    program = qemu.obtain(world.sources)
    root = program.parent / "root"
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()) == [
        "usr/bin/qemu-system-x86_64",
        f"{LIBRARIES}/ld-linux-x86-64.so.2",
        "usr/share/qemu/bios.bin",
    ]
    assert (root / "usr/bin/qemu-system-x86_64").stat().st_mode & 0o7777 == 0o755, "no set-user-id bit"
    said = subprocess.run([program, "-m", "a b"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[said.index("--library-path") + 1] == str(root / LIBRARIES)
    assert said[said.index("-L") + 1] == str(root / "usr/share/qemu")
    assert said[-4:-2] == ["-m", "a b"]
    assert said[-2] == f"modules {root}/{LIBRARIES}/qemu"
    assert unpacked(world.cache) == [program]
    has_device.cache_clear()
    assert has_device(str(program))
    os.utime(program.parent, (1, 1))
    shutil.rmtree(world.mirror.root)
    assert qemu.obtain(world.sources) == program
    assert program.parent.stat().st_mtime > 1, "marked as used last"


def test_what_does_not_run_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, b"#!/bin/sh\necho 'not a valid device' >&2\nexit 1\n")
    with pytest.raises(CommandError, match="not a valid device"):
        qemu.obtain(world.sources)
    assert unpacked(world.cache) == []
    assert list((world.cache.root / "qemu").iterdir()) == []


def test_other_bytes_and_other_signers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch)
    deb = Deb("libc6").pool
    whole = world.mirror.read(deb)
    world.mirror.write(deb, whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(VerificationError):
        qemu.obtain(world.sources)
    world.mirror.signer = key()
    world.publish(LOADER)
    with pytest.raises(VerificationError, match="signature"):
        qemu.update(world.sources)


def test_a_list_that_changed_needs_a_new_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch)
    qemu.LIST.write_text(LIST.replace('"libc6", ', ""))
    with pytest.raises(InputError, match="made from another"):
        qemu.obtain(world.sources)
    assert qemu.update(world.sources) == [], "the same packages"
    qemu.obtain(world.sources)


def test_the_wrapper_is_clean_shell(tmp_path: Path) -> None:
    (tmp_path / "wrapper").write_text(qemu.WRAPPER)
    passes(BIN / "shellcheck", "--severity=style", tmp_path / "wrapper")
    passes(BIN / "shfmt", "-d", tmp_path / "wrapper")
