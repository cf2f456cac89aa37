"""The locked mksquashfs and depmod's neighbours, really run."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dissect.squashfs import SquashFS

from boinc2docker import console
from boinc2docker.base.debian import initrd, squashfs
from boinc2docker.base.debian.toolbox import Toolbox
from boinc2docker.base.debian.tree import Spool, Tree, directory, file, link
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError

EPOCH = 1_700_000_000


def tree() -> Tree:
    made = Tree()
    made.add("tmp", directory(0o1777))
    made.add("usr/bin/tool", file(os.urandom(16) * 90_000, 0o755))
    made.add("etc/motd", file(b"hello\n"))
    made.add("etc/empty", file(b""))
    made.add("etc/link", link("motd"))
    for number in range(300):
        made.add(f"many/{number * 7919 % 1000}", file(f"{number}".encode() * number))
    return made


def test_the_image_is_what_the_tree_says(tmp_path: Path, spool: Spool, toolbox: Toolbox) -> None:
    made = tree()
    squashfs.write(made, spool, tmp_path / "image", toolbox, epoch=EPOCH)
    with (tmp_path / "image").open("rb") as stream:
        image = SquashFS(stream)
        assert image.get("usr/bin/tool").open().read() == made["usr/bin/tool"].content
        assert image.get("etc/link").link == "motd"
        assert image.get("etc/empty").open().read() == b""
        assert stat.S_IMODE(image.get("tmp").mode) == 0o1777
        assert stat.S_IMODE(image.get("usr/bin/tool").mode) == 0o755
        for path in made:
            inode = image.get(path)
            assert (inode.uid, inode.gid) == (0, 0)
            assert inode.mtime.timestamp() == EPOCH


def test_the_same_tree_is_the_same_bytes_anywhere(
    tmp_path: Path, spool: Spool, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tree()
    squashfs.write(made, spool, tmp_path / "one", toolbox, epoch=EPOCH)
    again = Tree()
    for path, node in sorted(made.items(), key=lambda item: item[0][::-1]):
        again.add(path, node, replace=True)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    cores = os.sched_getaffinity(0)
    umask = os.umask(0o077)
    try:
        os.sched_setaffinity(0, {min(cores)})
        squashfs.write(again, spool, tmp_path / "two", toolbox, epoch=EPOCH)
    finally:
        os.umask(umask)
        os.sched_setaffinity(0, cores)
    assert Digest.of_file(tmp_path / "one") == Digest.of_file(tmp_path / "two")


def test_progress_is_what_has_been_compressed(
    tmp_path: Path, spool: Spool, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what has been fed: that takes a moment, and mksquashfs the time."""
    told: list[int] = []

    @contextlib.contextmanager
    def progress(_label: str, total: int) -> Iterator[Callable[[int], None]]:
        told.append(-total)
        yield told.append

    monkeypatch.setattr(console, "progress", progress)
    made = tree()
    for number in range(12):
        made.add(f"large/{number}", file(os.urandom(1 << 20)))
    squashfs.write(made, spool, tmp_path / "image", toolbox, epoch=EPOCH)
    assert sum(told) == 0, "all of it, and nothing twice"
    assert len([amount for amount in told if amount > 0]) > 2, "bit by bit"


def test_a_share_of_what_was_fed_is_no_share_of_the_whole() -> None:
    told: list[int] = []
    done = squashfs.Compressed(told.append)
    done.fed = 100
    done.follow([b"0\n", b"50\n"])
    done.fed = 1000
    done.follow([b"4\n", b"mksquashfs: something\n", b"10\n", b"100\n", b"\n"])
    assert told == [0, 50, 0, 50, 900]


def test_what_mksquashfs_says_is_told(tmp_path: Path, spool: Spool, toolbox: Toolbox) -> None:
    with pytest.raises(BuilderError, match="mksquashfs"):
        squashfs.write(tree(), spool, tmp_path / "no" / "such" / "directory", toolbox, epoch=EPOCH)


def test_the_initrd_is_xz_with_the_check_the_kernel_knows(toolbox: Toolbox) -> None:
    archive = initrd.archive(b"busybox", b"#!/bin/sh\n", [("isofs", b"module")], epoch=EPOCH)
    packed = initrd.compress(archive, toolbox)
    assert packed[:8] == b"\xfd7zXZ\0\0\x01"
    assert packed == initrd.compress(archive, toolbox)
    assert b"isofs.ko\n" in archive
