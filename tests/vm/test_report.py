"""What comes back from a machine: read like vboxwrapper reads it, and never trusted."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import os
import shutil
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.errors import InputError, MachineError
from boinc2docker.vm import report
from boinc2docker.vm.report import Completion, JobReport, parse_completion, parse_job_report, require_free, unpack


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"0\n0\n", Completion(0, False, "")),
        (b"3\n1\nno such file", Completion(3, True, "no such file")),
        (b"", Completion(0, False, "")),
        (b"abc\n\nx", Completion(0, False, "x")),
        (b" 12x\r\n 1\ntwo\nlines\n", Completion(12, True, "two\nlines")),
        (b"-1", Completion(-1, False, "")),
        (b"1\n0\n\x1b[2J\xff", Completion(1, False, "?[2J\ufffd")),
    ],
)
def test_completion_files(data: bytes, expected: Completion) -> None:
    assert parse_completion(data) == expected


@given(st.binary(max_size=200))
def test_no_completion_file_is_an_error(data: bytes) -> None:
    parse_completion(data)


def test_a_job_report() -> None:
    document = {
        "marks": {"init": 3.4, "run": 52, "odd": "x"},
        "downloaded_bytes": 7,
        "memory_peak_mb": 120,
        "exit_code": 3,
    }
    expected = JobReport({"init": 3.4, "run": 52.0}, 7, 0, 120, 3)
    assert parse_job_report(json.dumps(document).encode()) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"marks": 3, "downloaded_bytes": "x", "exit_code": true}',
        b'{"downloaded_bytes": 1e999}',
        b'{"exit_code": NaN}',
        b"\xff",
    ],
    ids=[str(number) for number in range(8)],
)
def test_a_job_report_that_makes_no_sense_is_an_empty_one(data: bytes) -> None:
    assert parse_job_report(data) == JobReport()


def tgz(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.uid = kind, link, mode, 12345
    return info


@pytest.fixture(params=["this Python", "Debian 12's"])
def _python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 12's has no filters for tar archives."""
    if request.param != "this Python" and hasattr(tarfile, "data_filter"):
        if sys.version_info >= (3, 12):
            pytest.skip("this Python's tarfile cannot do without its filters")
        monkeypatch.delattr(tarfile, "data_filter")


@pytest.mark.usefixtures("_python")
def test_results_are_unpacked(tmp_path: Path) -> None:
    packed = tgz(
        tmp_path / "results.tgz",
        (member("a"), b"1"),
        (member("d", tarfile.DIRTYPE, mode=0o755), b""),
        (member("d/b", mode=0o6755), b"2"),
        (member("d/link", tarfile.SYMTYPE, "b"), b""),
    )
    target = tmp_path / "out"
    target.mkdir()
    assert unpack(packed, target) == ["a", "d", "d/b", "d/link"]
    assert (target / "d" / "link").read_bytes() == b"2"
    assert (target / "d" / "b").stat().st_mode & 0o7000 == 0
    assert (target / "d" / "b").stat().st_uid == os.getuid()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.usefixtures("_python")
def test_nothing_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tgz(
        tmp_path / "results.tgz",
        (member("../escaped"), b"x"),
        (member("link", tarfile.SYMTYPE, "/etc"), b""),
        (member("up", tarfile.SYMTYPE, ".."), b""),
        (member("link/escaped"), b"x"),
        (member("up/escaped"), b"x"),
        (member("device", tarfile.CHRTYPE), b""),
        (member("pipe", tarfile.FIFOTYPE), b""),
        (member("hard", tarfile.LNKTYPE, "../../etc/passwd"), b""),
        (member("fine"), b"y"),
    )
    assert unpack(packed, tmp_path / "deep" / "out") == ["fine", "link", "link/escaped", "up", "up/escaped"]
    assert not (tmp_path / "escaped").exists()
    assert not (tmp_path / "deep" / "escaped").exists()
    assert not (tmp_path / "deep" / "out" / "link").is_symlink()
    assert capsys.readouterr().err.count("left out") == 6


@pytest.mark.usefixtures("_python")
def test_a_path_longer_than_the_system_follows_leads_nowhere(tmp_path: Path) -> None:
    """CVE-2025-4517: short links make a path that the system follows and ``realpath`` gives up on."""
    long, steps, made, archived = "d" * 247, "abcdefghijklmnop", "", []
    for step in steps:
        archived += [member(made + long, tarfile.DIRTYPE), member(made + step, tarfile.SYMTYPE, long)]
        made += f"{long}/"
    top = "/".join(steps) + "/" + "l" * 254
    archived += [member(top, tarfile.SYMTYPE, "../" * len(steps)), member("escape", tarfile.SYMTYPE, f"{top}/../..")]
    packed = tgz(tmp_path / "results.tgz", *((one, b"") for one in archived), (member("escape/PWNED"), b"x"))
    assert {"a", "escape", "escape/PWNED"} <= set(unpack(packed, tmp_path / "deep" / "out"))
    assert not (tmp_path / "deep" / "out" / "escape").is_symlink()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "results.tgz"]


@pytest.mark.usefixtures("_python")
def test_links_are_not_replaced_so_that_others_lead_out(tmp_path: Path) -> None:
    """What was judged stays true: else the link leads out later, and the directory's mode and time go to a stranger."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    packed = tgz(
        tmp_path / "results.tgz",
        (member("1/2/outside", tarfile.DIRTYPE), b""),
        (member("step", tarfile.SYMTYPE, "1/2/3"), b""),
        (member("1/2/3", tarfile.DIRTYPE), b""),
        (member("hop", tarfile.SYMTYPE, "step/.."), b""),
        (member("hop/outside", tarfile.DIRTYPE), b""),
        (member("step", tarfile.SYMTYPE, "."), b""),
    )
    out = tmp_path / "out"
    assert unpack(packed, out) == ["1", "1/2", "1/2/3", "1/2/outside", "hop", "hop/outside", "step"]
    assert not (out / "hop").is_symlink()
    assert outside.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("_python")
def test_a_hard_link_never_brings_back_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tgz(
        tmp_path / "results.tgz",
        (member("file"), b"x"),
        (member("same", tarfile.LNKTYPE, "file"), b""),
        (member("link", tarfile.SYMTYPE, "file"), b""),
        (member("password", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("pipe", tarfile.FIFOTYPE), b""),
        *((member(f"y{to}", tarfile.LNKTYPE, to), b"") for to in ("password", "pipe", "link", "later")),
        (member("later"), b""),
    )
    assert unpack(packed, tmp_path / "out") == ["file", "later", "link", "same"]
    assert (tmp_path / "out" / "same").read_bytes() == b"x"
    assert capsys.readouterr().err.count("left out") == 6


def header(name: str, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def long_name() -> bytes:
    return header("x", tarfile.GNUTYPE_LONGNAME, 30 << 20) + b"n" * (30 << 20)


def pax_headers() -> bytes:
    """Each within bounds, of one member and of all that follow."""
    text = b"900018 comment=%s\n" % (b"x" * 900_000 + b"xx")
    padded = text + bytes(-len(text) % 512)
    return b"".join(
        header("x", kind, len(text)) + padded + header(str(number), tarfile.DIRTYPE, 0)
        for number in range(15)
        for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE)
    )


@pytest.mark.parametrize(("headers", "refused"), [(long_name, True), (pax_headers, False)], ids=["one", "many"])
def test_headers_cost_little_memory(headers: Callable[[], bytes], refused: bool, tmp_path: Path) -> None:
    """tarfile reads a header of any size into memory before it asks about the member, and keeps those of the past."""
    packed = tmp_path / "results.tgz"
    packed.write_bytes(gzip.compress(headers() + bytes(1024), 1))
    found: list[str] = []
    tracemalloc.start()
    try:
        with pytest.raises(MachineError, match="more than 1 MB") if refused else contextlib.nullcontext() as caught:
            found = unpack(packed, tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 << 20
    assert len(found) == (0 if refused else 15)
    if caught is not None:
        assert caught.value.code == "results-too-large"
        assert [path.name for path in tmp_path.iterdir()] == ["results.tgz"]


def test_links_to_what_comes_later_are_kept(tmp_path: Path) -> None:
    """In any order: a directory's is as good as random. A link may lead nowhere, too: it stays inside."""
    links = {"current": "run3", "latest": "current", "libx.so": "libx.so.1", "libx.so.1": "run3/x", "nowhere": "gone"}
    packed = tgz(
        tmp_path / "results.tgz",
        *((member(name, tarfile.SYMTYPE, target), b"") for name, target in sorted(links.items(), reverse=True)),
        (member("run3/x"), b"1"),
    )
    assert unpack(packed, tmp_path / "out") == sorted([*links, "run3", "run3/x"])
    assert (tmp_path / "out" / "latest" / "x").read_bytes() == b"1"
    assert (tmp_path / "out" / "libx.so").read_bytes() == b"1"


def test_a_file_system_without_links_costs_links_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_words: object, **_names: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", none)
    monkeypatch.setattr(Path, "symlink_to", none)
    packed = tgz(
        tmp_path / "results.tgz",
        (member("a"), b"1"),
        (member("b", tarfile.LNKTYPE, "a"), b""),
        (member("c", tarfile.SYMTYPE, "a"), b""),
        (member("d"), b"2"),
    )
    assert unpack(packed, tmp_path / "out") == ["a", "d"]
    told = capsys.readouterr().err
    assert "'b' is a hard link, and this file system has none" in told
    assert "'c' is a link, and this file system has none" in told


@pytest.mark.parametrize("data", [b"", b"no archive", "truncated"], ids=["empty", "other", "truncated"])
def test_a_damaged_archive_leaves_nothing(data: bytes | str, tmp_path: Path) -> None:
    packed = tgz(tmp_path / "results.tgz", (member("a"), os.urandom(100_000)))
    packed.write_bytes(packed.read_bytes()[:50_000] if isinstance(data, str) else data)
    with pytest.raises(MachineError) as caught:
        unpack(packed, tmp_path / "out")
    assert caught.value.code == "bad-results"
    assert [path.name for path in tmp_path.iterdir()] == ["results.tgz"]


@pytest.mark.parametrize("limit", ["MAX_UNPACKED", "MAX_MEMBERS"])
def test_more_than_the_limits_leaves_nothing(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(1 << 20)
    packed = tgz(tmp_path / "results.tgz", *((member(name), content) for name in "abc"))
    whole = len(gzip.decompress(packed.read_bytes()))
    monkeypatch.setattr(report, limit, whole if limit == "MAX_UNPACKED" else 3)
    assert unpack(packed, tmp_path / "out") == ["a", "b", "c"]
    shutil.rmtree(tmp_path / "out")
    tgz(
        packed,
        *((member(name), content) for name in "abc"),
        (member("d", tarfile.FIFOTYPE), b""),
        (member("e"), content),
    )
    with pytest.raises(
        MachineError, match=r"too large: the archive (unpacks to|has) more than \d+ (bytes|members)"
    ) as caught:
        unpack(packed, tmp_path / "out")
    assert caught.value.code == "results-too-large"
    assert [path.name for path in tmp_path.iterdir()] == ["results.tgz"]


def test_results_never_overwrite(tmp_path: Path) -> None:
    require_free(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    require_free(tmp_path / "empty")
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "dangling", "."):
        with pytest.raises(InputError):
            require_free(tmp_path / name)
