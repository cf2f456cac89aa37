from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest

from boinc2docker.base.debian import media
from boinc2docker.digest import Digest
from tests.base.debian import iso_files

EPOCH = 1_700_000_000
LOADER = bytes(range(256)) * 32


def write(target: Path, work: Path) -> Path:
    work.mkdir(exist_ok=True)
    (work / "rootfs").write_bytes(b"root" * 5000)
    files: dict[str, Path | bytes] = {
        "/isolinux/isolinux.bin": LOADER,
        "/isolinux/isolinux.cfg": b"default x\n",
        "/boot/vmlinuz": b"kernel",
        "/boot/rootfs.squashfs": work / "rootfs",
    }
    media.write(target, files, volume="B2D_TEST", epoch=EPOCH)
    return target


def test_names_and_contents_arrive(tmp_path: Path) -> None:
    iso = write(tmp_path / "x.iso", tmp_path / "work")
    assert iso_files.read(iso, "/boot/rootfs.squashfs", tmp_path) == b"root" * 5000
    assert iso_files.read(iso, "/boot/vmlinuz", tmp_path) == b"kernel"
    assert iso_files.read(iso, "/isolinux/isolinux.cfg", tmp_path) == b"default x\n"


def test_the_boot_catalogue_starts_isolinux_which_knows_where_it_lies(tmp_path: Path) -> None:
    """El Torito 1.0, sections 2.0-2.3; the boot information table is mkisofs(8)'s."""
    data = write(tmp_path / "x.iso", tmp_path / "work").read_bytes()
    record = data[17 * 2048 : 18 * 2048]
    assert record[:30] == b"\0CD001\1EL TORITO SPECIFICATION"
    catalogue = data[struct.unpack_from("<I", record, 71)[0] * 2048 :][:64]
    bootable, emulation, sectors, start = struct.unpack_from("<BBxxxxHI", catalogue, 32)
    assert (bootable, emulation, sectors) == (0x88, 0, 4)
    loader = data[start * 2048 :][: len(LOADER)]
    assert loader[:8] == LOADER[:8]
    assert loader[64:] == LOADER[64:]
    pvd, where, length, checksum = struct.unpack_from("<IIII", loader, 8)
    words = struct.unpack(f"<{(len(LOADER) - 64) // 4}I", loader[64:])
    assert (pvd, where, length, checksum) == (16, start, len(LOADER), sum(words) & 0xFFFFFFFF)


def test_the_same_files_are_the_same_bytes_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Digest.of_file(write(tmp_path / "one.iso", tmp_path / "work"))
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    umask = os.umask(0o077)
    try:
        time.sleep(1.1)
        second = Digest.of_file(write(tmp_path / "two.iso", tmp_path / "elsewhere"))
    finally:
        os.umask(umask)
        monkeypatch.undo()
        time.tzset()
    assert first == second
