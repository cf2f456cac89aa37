"""Archives from strangers: known hostile ones and mutated ones. Nothing outside the target, little memory."""

from __future__ import annotations

import errno
import gzip
import importlib.util
import os
import random
import re
import resource
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boinc2docker.errors import InputError
from boinc2docker.results.archive import Limits
from boinc2docker.results.archive_contents import contents
from boinc2docker.results.unpack import unpack
from tests.equipment.checkout import PROJECT_ROOT
from tests.results.samples import file, plain_tar, special, tgz, tree

SMALL = Limits(unpacked_bytes=1 << 20, files=200, ratio=200)
Members = list[tuple[tarfile.TarInfo, bytes]]

HOSTILE: dict[str, Members] = {
    "absolute": [file("/etc/b2d-evil", b"x")],
    "climbing": [file("../evil", b"x")],
    "climbing inside": [file("a/../../evil", b"x")],
    "link out, absolute": [special("l", tarfile.SYMTYPE, "/etc/passwd")],
    "link out": [special("l", tarfile.SYMTYPE, "../x")],
    "link out, deeper": [special("a/l", tarfile.SYMTYPE, "../../x")],
    "through a link": [special("l", tarfile.SYMTYPE, "."), file("l/x", b"x")],
    "over a link": [special("l", tarfile.SYMTYPE, "x"), file("l", b"x")],
    "links that climb together": [
        special("a/b/l", tarfile.SYMTYPE, "../.."),
        special("m", tarfile.SYMTYPE, "a/b/l/../x"),
    ],
    "long link, in bytes": [special("l", tarfile.SYMTYPE, "/".join(["\U0001f600" * 60] * 16))],
    "link with a long part": [special("l", tarfile.SYMTYPE, "a" * 300)],
    "empty link": [special("l", tarfile.SYMTYPE, "")],
    "hard link out": [special("l", tarfile.LNKTYPE, "/etc/passwd")],
    "hard link to nothing": [special("l", tarfile.LNKTYPE, "x")],
    "hard link to a link": [special("s", tarfile.SYMTYPE, "x"), special("l", tarfile.LNKTYPE, "s")],
    "character device": [special("d", tarfile.CHRTYPE)],
    "block device": [special("d", tarfile.BLKTYPE)],
    "pipe": [special("p", tarfile.FIFOTYPE)],
    "contiguous junk type": [special("p", b"Q")],
    "twice": [file("a", b"1"), file("a", b"2")],
    "twice, other spelling": [file("a", b"1"), file("./a", b"2")],
    "file and directory": [file("a", b"1"), special("a", tarfile.DIRTYPE)],
    "below a file": [file("a", b"1"), file("a/b", b"2")],
    "parent of a file": [file("a/b", b"1"), file("a", b"2")],
    "long part": [file("x" * 256, b"1")],
    "long name": [file("/".join(["d" * 200] * 6), b"1")],
    "deep": [file("/".join("d" * 80), b"1")],
    "no name": [file("./", b"x")],
    "many": [file(str(number), b"") for number in range(201)],
    "large": [file("a", bytes(range(256)) * 5000)],
}


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_hostile_archives_are_refused(name: str, format: int, tmp_path: Path) -> None:
    archive = written(tmp_path / "x.tgz", gzip.compress(plain_tar(HOSTILE[name], format=format)))
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError):
        unpack(archive, tmp_path / "in" / "t", SMALL)
    assert {path.name for path in tmp_path.iterdir()} == {"x.tgz", "in"}
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"t"}
    with pytest.raises(InputError):
        contents(archive, SMALL)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_without_pythons_filter(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    archive = written(tmp_path / "x.tgz", gzip.compress(plain_tar(HOSTILE[name])))
    with pytest.raises(InputError):
        contents(archive, SMALL)


@pytest.mark.parametrize("fault", [errno.EMLINK, errno.ENAMETOOLONG, errno.EILSEQ])
def test_names_no_file_system_holds_are_the_archives_fault(
    fault: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_names: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "link", refuse)
    members = [file("a", b"x"), special("b", tarfile.LNKTYPE, "a")]
    archive = written(tmp_path / "x.tgz", gzip.compress(plain_tar(members)))
    with pytest.raises(InputError, match=os.strerror(fault)):
        unpack(archive, tmp_path / "t", SMALL)


def raw(header_size: int, type: bytes, name: bytes = b"x") -> bytes:
    """A header that announces what does not follow."""
    info = tarfile.TarInfo(name.decode())
    info.size, info.type = header_size, type
    return info.tobuf(tarfile.GNU_FORMAT)


def gzip_of_zeros(megabytes: int, *, head: bytes = b"") -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    pieces = [packer.compress(head)] + [packer.compress(bytes(1 << 20)) for _ in range(megabytes)] + [packer.flush()]
    return b"".join(pieces)


BOMBS = {
    "zeros": gzip_of_zeros(600, head=raw(600 << 20, tarfile.REGTYPE)),
    "after the end": gzip_of_zeros(600),
    "long name": gzip_of_zeros(600, head=raw(600 << 20, tarfile.GNUTYPE_LONGNAME)),
    "pax header": gzip_of_zeros(600, head=raw(600 << 20, tarfile.XHDTYPE)),
    "chain of headers": gzip.compress(raw(512, tarfile.GNUTYPE_LONGNAME) * 100_000),
    "chain of globals": gzip.compress((raw(20, tarfile.XGLTYPE) + b"20 comment=aaaaaaaa\n".ljust(512, b"\0")) * 50_000),
    "digits": gzip.compress(raw(1 << 19, tarfile.XHDTYPE) + b"1" * (1 << 19)),
    "members": gzip.compress(b"") * 100_000,
    "huge size": gzip.compress(raw(1 << 62, tarfile.REGTYPE)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_little_memory_and_time(name: str, tmp_path: Path) -> None:
    archive = written(tmp_path / "x.tgz", BOMBS[name])
    program = f"""
import resource, sys
from pathlib import Path
from boinc2docker.errors import InputError
from boinc2docker.results.archive import Limits
from boinc2docker.results.archive_contents import contents
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    contents(Path({str(archive)!r}), Limits())
except InputError as error:
    sys.stdout.write(f"{{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before}} {{error.code}}")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kilobytes, code = done.stdout.split()
    assert code in {"bad-archive", "archive-too-large"}
    assert int(kilobytes) < 30_000


def test_good_archives_come_out_as_they_went_in(tmp_path: Path) -> None:
    source = random.Random(1)
    files = {f"d{i % 7}/{'n' * (i * 3)}{i}": source.randbytes(i * 997) for i in range(60)}
    archive = written(tmp_path / "x.tgz", tgz(files))
    assert unpack(archive, tmp_path / "t", Limits()) == 60
    assert tree(tmp_path / "t") == files
    assert {name: one.bytes for name, one in contents(archive, Limits()).items()} == {
        k: len(v) for k, v in files.items()
    }


def test_links_inside_are_kept(tmp_path: Path) -> None:
    members = [
        special("d", tarfile.DIRTYPE),
        file("d/a", b"1"),
        special("d/up", tarfile.SYMTYPE, "../d/a"),
        special("h", tarfile.LNKTYPE, "d/a"),
    ]
    archive = written(tmp_path / "x.tgz", gzip.compress(plain_tar(members)))
    unpack(archive, tmp_path / "t", Limits())
    assert (tmp_path / "t/d/up").read_bytes() == (tmp_path / "t/h").read_bytes() == b"1"


def test_an_empty_archive_is_well_formed(tmp_path: Path) -> None:
    for data in (gzip.compress(bytes(10240)), gzip.compress(bytes(1024)) + bytes(100)):
        assert contents(written(tmp_path / "x.tgz", data), Limits()) == {}


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = plain_tar([file("a", b"x" * 700), file("b", b"y")])
    packed = gzip.compress(whole)
    cut = [packed[:end] for end in range(len(packed))]
    # A tar stream may be cut inside its final zeros (GNU pads to 10 kB); before them it is damaged.
    cut += [gzip.compress(whole[:end]) for end in range(0, 2560 + 1, 64)]
    for data in cut:
        with pytest.raises(InputError):
            contents(written(tmp_path / "x.tgz", data), Limits())


SEEDS = [
    plain_tar([file("a", b"x" * 700), special("l", tarfile.SYMTYPE, "a"), file("d/b", b"y"), file("n" * 120, b"z")]),
    plain_tar([file("a" * 130, b"x" * 600), file("ü/c", b"2")], format=tarfile.PAX_FORMAT),
    *(plain_tar(bad, format=tarfile.PAX_FORMAT) for name, bad in HOSTILE.items() if name not in ("many", "large")),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A tar with some bytes changed, its header's checksum often mended, cut or doubled; then packed, perhaps cut."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    end = max(len(data.rstrip(b"\0")), 512)
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, end - 1))
        data[place] = draw(st.integers(0, 255))
        header = place // 512 * 512
        if draw(st.booleans()):
            block = bytes(data[header : header + 148]) + b" " * 8 + bytes(data[header + 156 : header + 512])
            data[header + 148 : header + 156] = b"%06o\0 " % sum(block)
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    packed = bytearray(gzip.compress(bytes(data), 1, mtime=0))
    for _ in range(draw(st.integers(0, 2)) if draw(st.integers(0, 3)) == 0 else 0):
        packed[draw(st.integers(0, len(packed) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(packed)


def survive(data: bytes) -> None:
    """No crash, no write outside; what is accepted holds only what its own names say."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        archive = written(root / "x.tgz", data)
        (root / "in").mkdir()
        try:
            unpack(archive, root / "in" / "t", SMALL, durable=False)
        except InputError:
            pass
        else:
            for path in (root / "in" / "t").rglob("*"):
                assert path.is_file() or path.is_dir() or path.is_symlink()
                assert (
                    (path.parent / path.readlink() if path.is_symlink() else path)
                    .resolve()
                    .is_relative_to(root / "in" / "t")
                )
        assert {path.name for path in root.iterdir()} == {"x.tgz", "in"}
        assert {path.name for path in (root / "in").iterdir()} <= {"t"}


@settings(max_examples=400)
@given(mutated())
def test_mutations_do_no_harm(data: bytes) -> None:
    survive(data)


@pytest.mark.exhaustive
@settings(max_examples=10_000)
@given(mutated())
def test_ten_thousand_mutations_do_no_harm(data: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    survive(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.exhaustive
def test_a_fuzzer_that_sees_the_code_does_no_harm(tmp_path: Path, record_property: Callable[[str, str], None]) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed (ci/environment fuzz; it has wheels for Linux)")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    runs, memory_mb = 10_000, 600
    limits = [f"-runs={runs}", "-max_len=30000", f"-rss_limit_mb={memory_mb}", f"-artifact_prefix={tmp_path}/"]
    argv = [sys.executable, "-m", "tests.results.fuzz_archive", *limits, str(corpus)]
    done = subprocess.run(argv, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    finds = [path for path in tmp_path.iterdir() if path != corpus]
    assert done.returncode == 0, done.stderr[-3000:]
    assert not finds
    assert f"Done {runs} runs" in done.stdout + done.stderr
    covered = [int(number) for number in re.findall(r" cov: (\d+) ", done.stdout + done.stderr)]
    assert covered[-1] > covered[0], "the fuzzer does not see the code"
    record_property(
        "figure", f"{runs} fuzzed archives: {covered[0]} to {covered[-1]} branches, {len(list(corpus.iterdir()))} kept"
    )


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=3000).filter(lambda data: data.strip(b"\0")))
def test_noise_does_no_harm(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        for packed in (data, gzip.compress(data)):
            with pytest.raises(InputError):
                contents(written(Path(name) / "x.tgz", packed), SMALL)
