"""The base ISO itself: isolinux, kernel, initrd and root file system on a CD with Rock Ridge names.

It has ``/isolinux/{isolinux.bin,ldlinux.c32,isolinux.cfg}`` and ``/boot/{vmlinuz,initrd.img,rootfs.squashfs}``.
It boots from a CD by BIOS, as VirtualBox does. It has no hybrid MBR, so a remaster has nothing to lose.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pycdlib

from boinc2docker.formats import iso9660

LOADER = "/isolinux/isolinux.bin"


def write(target: Path, files: Mapping[str, Path | bytes], *, volume: str, epoch: int) -> None:
    """Writes an ISO with ``files`` (path to content) to ``target``; ``/isolinux/isolinux.bin`` boots it.

    Names are 8.3 in ISO 9660 where they fit and as they are in Rock Ridge. Same input, same bytes.
    """
    with iso9660.errors_named(target, "write"), iso9660.frozen_clock(epoch), ExitStack() as held:
        iso = pycdlib.PyCdlib()
        iso.new(interchange_level=3, rock_ridge="1.09", vol_ident=volume, app_ident_str="boinc2docker")
        held.callback(iso.close)
        for directory in sorted({posixpath.dirname(path) for path in files} - {"/"}):
            iso.add_directory(directory.upper(), rr_name=posixpath.basename(directory), file_mode=0o040555)
        for path, content in sorted(files.items()):
            stream, size = _opened(content, held)
            iso.add_fp(stream, size, _iso_name(path), rr_name=posixpath.basename(path), file_mode=0o100444)
        iso.add_eltorito(
            _iso_name(LOADER),
            bootcatfile="/ISOLINUX/BOOT.CAT;1",
            rr_bootcatname="boot.cat",
            boot_load_size=4,
            boot_info_table=True,
        )
        iso.write(str(target))


def _iso_name(path: str) -> str:
    """A name in ISO 9660's letters: upper case, digits, underscore and one dot."""
    parent, name = posixpath.split(path.upper())
    return f"{parent.rstrip('/')}/{name}{'' if '.' in name else '.'};1"


def _opened(content: Path | bytes, held: ExitStack) -> tuple[BinaryIO, int]:
    if isinstance(content, bytes):
        return BytesIO(content), len(content)
    return held.enter_context(content.open("rb")), content.stat().st_size
