"""The initramfs walk against segments packed by the tools that pack them for the kernel."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.errors import InputError
from boinc2docker.formats import newc
from boinc2docker.formats.compression import zstd
from boinc2docker.formats.newc import Entry, archive, directory, regular, symlink
from boinc2docker.iso.initramfs import check_overlay, list_initramfs

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "lzma-alone": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "xz-crc32": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "zstd": zstd.compress,
}
PROGRAMS = {
    "lzma-alone": ["xz", "-9", "--format=lzma", "--extreme"],
    "xz-crc32": ["xz", "--check=crc32"],
    "gzip": ["gzip", "-n"],
    "zstd": ["zstd", "-q"],
}
FIRST = [directory("bin"), regular("bin/sh", b"old", 0o755), directory("tmp", 0o1777), symlink("lib", "bin")]
SECOND = [directory("opt"), regular("bin/sh", b"new and longer", 0o700)]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("following", ["plain", "gzip"])
def test_later_segments_win(packer: str, following: str) -> None:
    data = padded(PACKERS[packer](archive(FIRST))) + bytes(512) + PACKERS[following](archive(SECOND)) + bytes(4)
    found = list_initramfs(data, keep=lambda name: name == "bin/sh")
    assert set(found) == {"bin", "bin/sh", "tmp", "lib", "opt"}
    assert found["bin/sh"] == Entry("bin/sh", 0o100700, b"new and longer")
    assert found["tmp"].mode == 0o041777
    assert found["lib"].data == b"bin"


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_the_real_compressors_write_is_read(name: str) -> None:
    if shutil.which(PROGRAMS[name][0]) is None:
        pytest.skip(f"{PROGRAMS[name][0]} is not on this machine")
    packed = subprocess.run(PROGRAMS[name], input=archive(FIRST), check=True, capture_output=True).stdout
    assert list_initramfs(padded(packed) + archive(SECOND)).keys() == {"bin", "bin/sh", "tmp", "lib", "opt"}


def test_two_archives_in_one_compressed_stream() -> None:
    data = gzip.compress(archive(FIRST) + bytes(256) + archive(SECOND))
    assert list_initramfs(data)["bin/sh"].mode == 0o100700


def test_gnu_cpio_names_and_nothing_at_all() -> None:
    assert list_initramfs(b"") == list_initramfs(bytes(4096)) == {}
    whole = archive([directory("x"), regular("x/y", b"")])
    assert set(list_initramfs(whole.replace(b"x/y\0", b".//y", 1)[:0] + whole)) == {"x", "x/y"}
    if shutil.which("cpio"):
        packed = subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"], input=b".\n", cwd="/", check=True, capture_output=True
        ).stdout
        assert list(list_initramfs(packed)) == [""]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0" + archive(FIRST), "no multiple of 4"),
        (gzip.compress(b"x") + b"rubbish", "cpio"),
        (gzip.compress(b"\0") + b"rubbish", "found 727562626973"),
        (lzma.compress(archive(FIRST)), "CRC32"),
        (lzma.compress(archive(FIRST), format=lzma.FORMAT_ALONE)[:-20], "is truncated"),
        (gzip.compress(archive(FIRST))[:-20], "is truncated"),
        (gzip.compress(archive(FIRST)[:-150]), "without its trailer"),
        (archive(FIRST)[:-150], "without its trailer"),
        (gzip.compress(archive(FIRST))[:40] + bytes(60), "damaged"),
        (b"\x02\x21\x4c\x18" + bytes(20), "lz4"),
    ],
    ids=["misaligned", "no-archive", "rubbish", "crc64", "cut-lzma", "cut-gzip", "cut-inside", "cut", "broken", "lz4"],
)
def test_what_the_kernel_would_not_read_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list_initramfs(data)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.sampled_from(list(PACKERS)).flatmap(
            lambda name: st.tuples(
                st.just(PACKERS[name](archive(FIRST))), st.integers(0, 10**6), st.binary(max_size=8)
            ).map(
                lambda parts: (
                    parts[0][: parts[1] % len(parts[0])]
                    + parts[2]
                    + parts[0][parts[1] % len(parts[0]) + len(parts[2]) :]
                )
            )
        ),
    )
)
def test_rubbish_and_damage_never_crash(data: bytes) -> None:
    with contextlib.suppress(InputError):
        list_initramfs(data)


def test_memory_stays_small_whatever_an_initrd_holds() -> None:
    packed = lzma.compress(archive([regular("big", bytes(40_000_000))]), format=lzma.FORMAT_ALONE, preset=0)
    tracemalloc.start()
    assert list(list_initramfs(io.BytesIO(packed))) == ["big"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


BASE = {"opt": directory("opt"), "tmp": directory("tmp", 0o1777), "etc/motd": regular("etc/motd", b"")}


def test_a_good_overlay_passes() -> None:
    entries = [directory("opt/x"), regular("opt/x/y", b"1"), regular("top", b"2")]
    assert check_overlay(archive(entries) + bytes(8), BASE) == entries


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (archive([regular("opt/x/y", b"1")]), "no parent"),
        (archive([regular("etc/x", b"1")]), "no parent"),
        (archive([directory("tmp")]), "directory record for /tmp"),
        (archive([regular("opt", b"")]), "a file for /opt"),
        (archive([directory("etc"), directory("etc/motd")]), "a file or link of the base"),
        (archive([regular("x", b"")]) + b"\0", "no multiple of 4"),
        (archive([regular("x", b"")])[:-124], "without its trailer"),
        (archive([regular("x", b"")]) + b"more", "after its trailer"),
        (gzip.compress(archive([])) + bytes(-len(gzip.compress(archive([]))) % 4), "expected a cpio"),
    ],
    ids=["parent", "file-base", "mode", "replaced", "replacing", "length", "cut", "tail", "packed"],
)
def test_an_overlay_that_would_boot_without_a_word_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_overlay(data, BASE)


def test_the_parents_must_come_first() -> None:
    late = newc.archive([directory("b")])[:-124] + archive([regular("a", b"")])
    swapped = archive([regular("b/c", b"")])[:-124] + late
    with pytest.raises(InputError, match="no parent"):
        check_overlay(swapped, {})
