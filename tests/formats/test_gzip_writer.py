"""Compressed layers: every reader gets the bytes back, and nothing but the bytes decides about them."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boinc2docker.errors import InputError
from boinc2docker.formats.compression import zstd
from boinc2docker.formats.gzip_writer import BLOCK, Packer
from boinc2docker.image.layer_file import write_layer
from tests.equipment.checkout import PYTHON_PATH


def packed(pieces: list[bytes], threads: int | None = None) -> bytes:
    out: list[bytes] = []
    with Packer(out.append, threads=threads) as packer:
        for piece in pieces:
            packer.write(piece)
    return b"".join(out)


def some_bytes(size: int, seed: int = 1) -> bytes:
    """Neither all equal nor random."""
    source = random.Random(seed)
    words = [source.randbytes(source.randint(3, 40)) for _ in range(500)]
    return b"".join(source.choices(words, k=size // 15))[:size]


@settings(deadline=None, max_examples=25)
@given(
    size=st.sampled_from([0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 7]),
    cuts=st.lists(st.integers(0, 3 * BLOCK + 7), max_size=6),
    threads=st.integers(1, 5),
)
def test_only_the_bytes_decide(size: int, cuts: list[int], threads: int) -> None:
    data = some_bytes(3 * BLOCK + 7)[:size]
    ends = sorted({0, size, *(cut for cut in cuts if cut < size)})
    pieces = [data[a:b] for a, b in itertools.pairwise(ends)]
    made = packed(pieces, threads)
    assert gzip.decompress(made) == data
    assert made == packed([data], 1)


def test_the_bytes_are_known() -> None:
    """Changes of the header or the cut would give every layer a new name: nothing that should happen by accident."""
    made = packed([b"layer" * 1000])
    assert made[:10].hex() == "1f8b08000000000000ff"
    assert made[-8:] == gzip.compress(b"layer" * 1000)[-8:]
    members = packed([some_bytes(2 * BLOCK + 1)])
    assert members.count(bytes.fromhex("1f8b08000000000000ff")) == 3


@pytest.mark.parametrize("reader", [["gzip", "-dc"], ["busybox", "gunzip", "-c"], ["pigz", "-dc"], ["unpigz", "-c"]])
def test_every_reader_reads_the_members(reader: list[str]) -> None:
    if shutil.which(reader[0]) is None:
        pytest.skip(f"{reader[0]} is not installed")
    data = some_bytes(2 * BLOCK + 5)
    done = subprocess.run(reader, input=packed([data]), capture_output=True, check=True)
    assert done.stdout == data


def test_time_zone_and_time_do_not_matter() -> None:
    code = (
        "import hashlib; from tests.formats.test_gzip_writer import packed, some_bytes;"
        "print(hashlib.sha256(packed([some_bytes(3 << 20)])).hexdigest())"
    )
    found = set()
    for zone, seed in (("UTC", "0"), ("Asia/Kolkata", "7")):
        env = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "PYTHONPATH": PYTHON_PATH}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        found.add(done.stdout.strip())
    assert found == {hashlib.sha256(packed([some_bytes(3 << 20)], 1)).hexdigest()}


def test_memory_does_not_grow_with_the_layer(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from boinc2docker.image.layer_file import write_layer;"
        "piece = bytes(range(256)) * 4096;"
        "write_layer((piece for _ in range(int(sys.argv[1]))), Path(sys.argv[2]), 'x', lambda n: None, pack=True);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    env = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    peaks = []
    for pieces in (8, 256):
        argv = [sys.executable, "-c", code, str(pieces), str(tmp_path / "layer")]
        peaks.append(int(subprocess.run(argv, env=env, capture_output=True, check=True).stdout))
    assert peaks[1] - peaks[0] < 32 << 10, peaks


@pytest.mark.parametrize("kind", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("pack", [False, True])
def test_a_layer_is_hashed_three_ways(kind: str, pack: bool, tmp_path: Path) -> None:
    plain = some_bytes(BLOCK + 99)
    came = {"none": lambda: plain, "gzip": lambda: gzip.compress(plain), "zstd": lambda: zstd.compress(plain)}[kind]()
    target = tmp_path / "layer"
    pieces = [came[at : at + 70_000] for at in range(0, len(came), 70_000)]
    written = write_layer(pieces, target, "layer", lambda _: None, pack=pack)
    kept = target.read_bytes()
    assert written.came.hex == hashlib.sha256(came).hexdigest()
    assert written.plain.hex == hashlib.sha256(plain).hexdigest()
    assert (written.digest.hex, written.size) == (hashlib.sha256(kept).hexdigest(), len(kept))
    assert written.compression == ("gzip" if pack else kind)
    assert (kept == came) == (kind == "gzip" or not pack)


def test_damaged_compression_is_an_error(tmp_path: Path) -> None:
    for damaged in (zstd.compress(some_bytes(BLOCK))[:-9], b"\x28\xb5\x2f\xfd" + b"rubbish" * 9, b"BZh91AY&SY" * 9):
        with pytest.raises(InputError):
            write_layer([damaged], tmp_path / "layer", "layer", lambda _: None, pack=True)


def test_a_full_disk_stops_the_threads(tiny_disk: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        write_layer(iter([os.urandom(BLOCK)] * 8), tiny_disk / "layer", "layer", lambda _: None, pack=True)
