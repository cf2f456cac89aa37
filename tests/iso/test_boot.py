"""A real kernel, started by isolinux, unpacks what was written: the pass line is printed by the overlay itself."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from boinc2docker.formats import newc
from boinc2docker.iso import customize
from boinc2docker.iso.identity import SITE_PATH
from boinc2docker.iso.site_area import UNFINISHED
from boinc2docker.iso.volume import chunks, read_volume
from tests.iso import sample_iso
from tests.iso.conftest import remastered
from tests.iso.sample_iso import needs_xorriso, new_layout

QEMU = shutil.which("qemu-system-x86_64")
BUSYBOX = Path("/bin/busybox")


def is_static(program: Path) -> bool:
    """Has this ELF file no interpreter (PT_INTERP, type 3)? A static glibc names its loader all the same."""
    if not program.exists():
        return False
    data = program.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    return all(struct.unpack_from("<I", data, table + index * size)[0] != 3 for index in range(count))


STATIC = is_static(BUSYBOX)
pytestmark = [
    pytest.mark.machine,
    needs_xorriso,
    pytest.mark.skipif(QEMU is None, reason="needs qemu-system-x86"),
    pytest.mark.skipif(not STATIC, reason="needs busybox-static"),
]

CONFIG = b"""serial 0
default b2d
label b2d
\tkernel /boot/vmlinuz
\tinitrd /boot/initrd.img
\tappend console=ttyS0 quiet panic=5
"""
INIT = rb"""#!/bin/busybox sh
/bin/busybox find /opt /tmp -exec /bin/busybox stat -c 'MARK %a %n' {} \;
/bin/busybox sh /opt/bootlocal.sh
[ ! -f /opt/boinc2docker/site/settings ] || . /opt/boinc2docker/site/settings
echo "MARK proxy ${HTTP_PROXY-none}"
/bin/busybox poweroff -f
"""


def kernel(iso: Path) -> bytes:
    """The kernel of this checkout's own ISO."""
    with iso.open("rb") as stream:
        return b"".join(chunks(stream, read_volume(stream).files["/boot/vmlinuz"]))


@pytest.fixture(scope="module")
def bootable(iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boot")
    entries = [
        newc.directory("bin"),
        newc.regular("bin/busybox", BUSYBOX.resolve().read_bytes(), 0o755),
        newc.directory("opt", 0o711),
        newc.directory("tmp", 0o1777),
        newc.directory("dev"),
        newc.character_device("dev/console", 0o600, 5, 1),
        newc.regular("init", INIT, 0o755),
    ]
    initrd = lzma.compress(newc.archive(entries), format=lzma.FORMAT_ALONE)
    sample = new_layout().with_files(
        {"boot/vmlinuz": kernel(iso), "boot/initrd.img": initrd, "isolinux/isolinux.cfg": CONFIG}
    )
    overlay = sample_iso.sample_overlay(folder / "overlay")
    (overlay / "opt/bootlocal.sh").write_text("echo MARK hello from the overlay\n")
    return remastered(sample_iso.build(sample, folder / "base.iso"), folder / "ours.iso", overlay)


def marks(iso: Path, *, disk: bool = False) -> list[str]:
    assert QEMU is not None
    drive = ["-drive", f"file={iso},format=raw,if=ide"] if disk else ["-cdrom", str(iso)]
    machine = ["-accel", "tcg,thread=single", "-m", "256", "-display", "none", "-no-reboot", "-nic", "none"]
    done = subprocess.run([QEMU, *machine, "-serial", "stdio", *drive], capture_output=True, timeout=300, check=True)
    lines = done.stdout.decode(errors="replace").splitlines()
    return [line[line.index("MARK ") + 5 :] for line in lines if "MARK " in line]


EXPECTED = {
    "711 /opt",
    "1777 /tmp",
    "755 /opt/boinc2docker",
    "755 /opt/boinc2docker/guestlog",
    "644 /opt/boinc2docker/identity.json",
    "hello from the overlay",
}


@pytest.mark.parametrize("disk", [False, True], ids=["cd", "disk"])
def test_the_overlay_arrives_and_the_bases_directories_keep_their_modes(bootable: Path, disk: bool) -> None:
    found = marks(bootable, disk=disk)
    assert set(found) >= EXPECTED | {"proxy none"}


def test_a_customised_and_an_interrupted_iso(bootable: Path, tmp_path: Path) -> None:
    iso = Path(shutil.copy(bootable, tmp_path / "x.iso"))
    customize(iso, settings={"HTTP_PROXY": "http://proxy:3128"})
    assert set(marks(iso)) >= EXPECTED | {"proxy http://proxy:3128", "755 /opt/boinc2docker/site"}
    with iso.open("r+b") as stream:
        stream.seek(read_volume(stream).files[SITE_PATH].extents[0][0])
        stream.write(UNFINISHED.ljust(512, b"\0"))
    assert set(marks(iso)) >= EXPECTED | {"proxy none"}
