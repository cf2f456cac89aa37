"""Small ISOs in the layouts that matter, made by xorriso, the tool that made boot2docker's."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from boinc2docker.formats import newc

XORRISO = shutil.which("xorriso")
ISOLINUX = Path("/usr/lib/ISOLINUX/isolinux.bin")
MBR = Path("/usr/lib/ISOLINUX/isohdpfx.bin")
LDLINUX = Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")

needs_xorriso = pytest.mark.skipif(
    XORRISO is None or not MBR.exists() or not LDLINUX.exists(),
    reason="needs the packages xorriso, isolinux and syslinux-common",
)

NEW_CONFIG = """\
serial 0
ui menu.c32
prompt 1
menu title Boot2Docker
timeout 2

label boot2docker
\tmenu label Boot2Docker
\tkernel /boot/vmlinuz
\tinitrd /boot/initrd.img
\tappend loglevel=3 console=ttyS0 console=tty0 waitusb=5:LABEL=boot2docker-data base norestore noembed
"""

OLD_CONFIG = """\
default boot2docker
prompt 1
label boot2docker
\tkernel /boot/vmlinuz64 com1=9600,8n1 initrd=/boot/initrd.img
\tappend loglevel=3 user=docker noembed waitusb=10:LABEL=boot2docker-data base
"""

KERNEL = bytes(range(256)) * 900


def base_initrd() -> bytes:
    """A base's initrd in boot2docker's form: newc in lzma-alone, of no multiple of four bytes."""
    entries = [newc.directory("tmp", 0o1777), newc.directory("opt"), newc.regular("init", b"#!/bin/sh\n", 0o755)]
    packed = lzma.compress(newc.archive([*entries, newc.directory("etc")]), format=lzma.FORMAT_ALONE)
    assert packed.startswith(b"\x5d\x00\x00")
    return packed


@dataclass(frozen=True)
class Sample:
    """What goes into a sample ISO; paths relative to its root."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    boot: str = "isolinux"
    options: tuple[str, ...] = ()
    mbr: bool = True
    epoch: int = 1_600_000_000

    def with_files(self, changed: Mapping[str, bytes | None]) -> Sample:
        files = {name: data for name, data in {**self.files, **changed}.items() if data is not None}
        return Sample(files, self.boot, self.options, self.mbr, self.epoch)


def new_layout(**changes: bytes | None) -> Sample:
    """boot2docker 18.09 and later: /isolinux, no Joliet."""
    files = {
        "isolinux/isolinux.bin": ISOLINUX.read_bytes(),
        "isolinux/ldlinux.c32": LDLINUX.read_bytes(),
        "isolinux/isolinux.cfg": NEW_CONFIG.encode(),
        "boot/vmlinuz": KERNEL,
        "boot/initrd.img": base_initrd(),
    }
    return Sample(files).with_files({name.replace("__", "/"): data for name, data in changes.items()})


def old_layout() -> Sample:
    """boot2docker up to 18.06: /boot/isolinux, Joliet."""
    files = {
        "boot/isolinux/isolinux.bin": ISOLINUX.read_bytes(),
        "boot/isolinux/ldlinux.c32": LDLINUX.read_bytes(),
        "boot/isolinux/isolinux.cfg": OLD_CONFIG.encode(),
        "boot/isolinux/boot.msg": b"Hello",
        "boot/vmlinuz64": KERNEL,
        "boot/initrd.img": base_initrd(),
        "version": b"18.06.0\n",
    }
    return Sample(files, boot="boot/isolinux", options=("-l", "-J", "-R"))


def build(sample: Sample, target: Path) -> Path:
    """Writes the sample's ISO as boot2docker's own build does."""
    assert XORRISO is not None
    tree = target.parent / f"{target.name}.tree"
    for name, data in sample.files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    command = [XORRISO, "-no_rc", "-as", "mkisofs", "-A", "Boot2Docker", "-V", "b2d-v19.03.12"]
    if sample.mbr:
        command += ["-isohybrid-mbr", str(MBR)]
    if sample.boot:
        folder = "" if sample.boot == "." else f"{sample.boot}/"
        command += ["-b", f"{folder}isolinux.bin", "-c", f"{folder}boot.cat"]
        command += ["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
    command += [*sample.options, "-o", str(target), str(tree)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(sample.epoch)})
    shutil.rmtree(tree)
    return target


def sample_overlay(root: Path) -> Path:
    """An overlay as small as one can be."""
    (root / "opt/boinc2docker/lib").mkdir(parents=True)
    (root / "opt/bootlocal.sh").write_text("#!/bin/sh\necho hello\n")
    (root / "opt/bootlocal.sh").chmod(0o755)
    (root / "opt/boinc2docker/lib/log.sh").write_text("# nothing\n")
    (root / "opt/boinc2docker/guestlog.hex0").write_text("7f 45 4c 46 # ELF\n; the end\n")
    return root
