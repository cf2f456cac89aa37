"""Staging: where files go, what is there afterwards, and what two submitters or a sudden death can do to it."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker import atomic
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, HostError
from boinc2docker.project import hierarchy, staging
from boinc2docker.project.project import DatabaseSettings, Project
from boinc2docker.project.staging import ToStage, is_staged, require_ready, stage
from tests.equipment.checkout import PROJECT_ROOT

__all__ = ["tiny_disk"]
from tests.equipment.fixtures import tiny_disk


def project(root: Path) -> Project:
    root.mkdir(exist_ok=True)
    return Project(root, root, 1024, "http://127.0.0.1/d", DatabaseSettings("db", "u", "p"))


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=200), st.integers(1, 5000))
def test_directories_are_those_of_boinc(name: str, fanout: int) -> None:
    """By the words of BOINC's PHP library: the seven hex digits after the first, modulo, in hex."""
    whole = int.from_bytes(hashlib.md5(name.encode()).digest(), "big")
    assert hierarchy.directory(name, fanout) == format((whole >> 96 & 0xFFFFFFF) % fanout, "x")
    assert hierarchy.directory(name, 0) == ""


def complete(where: Project, name: str, content: bytes) -> bool:
    path = where.download_path(name)
    beside = path.with_name(f"{name}.md5")
    return (
        path.read_bytes() == content
        and beside.read_text() == f"{hashlib.md5(content).hexdigest()} {len(content)}\n"
        and beside.stat().st_mtime >= path.stat().st_mtime
        and path.stat().st_mode & 0o777 == 0o644
    )


def test_files_are_staged_once_and_whole(tmp_path: Path) -> None:
    where = project(tmp_path / "download")
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3_000_000))
    moved = tmp_path / "moved"
    moved.write_bytes(b"moved")
    files = [ToStage("a", b"1"), ToStage("b", big), ToStage("c", moved, movable=True, length=5), ToStage("a", b"1")]
    assert stage(where, files) == 3_000_006
    assert all(complete(where, name, data) for name, data in (("a", b"1"), ("b", big.read_bytes()), ("c", b"moved")))
    assert not moved.exists()
    before = where.download_path("b").stat()
    assert stage(where, files) == 0, "also with the moved one gone"
    assert where.download_path("b").stat() == before
    assert is_staged(where, "b", 3_000_000)
    assert not is_staged(where, "b", 3)
    assert not list(tmp_path.rglob("*.part"))


def test_what_another_left_half_done_is_completed(tmp_path: Path) -> None:
    where = project(tmp_path)
    stage(where, [ToStage("a", b"abc")])
    beside = where.download_path("a").with_name("a.md5")
    for spoil in (beside.unlink, lambda: beside.write_text("x"), lambda: os.utime(beside, (1, 1))):
        spoil()
        assert not is_staged(where, "a", 3)
        assert stage(where, [ToStage("a", b"abc")]) == 0
        assert complete(where, "a", b"abc")


def test_another_content_is_never_replaced(tmp_path: Path) -> None:
    where = project(tmp_path)
    stage(where, [ToStage("a", b"abc")])
    other = tmp_path / "other"
    other.write_bytes(b"xyz")
    where.download_path("a").with_name("a.md5").unlink()
    for content in (b"ab", b"abd", other):
        with pytest.raises(BuilderError) as caught:
            stage(where, [ToStage("new", b"1"), ToStage("a", content)])
        assert caught.value.code == "name-taken"
    assert where.download_path("a").read_bytes() == b"abc"
    assert not where.download_path("new").exists(), "nothing of the rest"


def test_a_damaged_file_is_replaced_where_that_is_wanted(tmp_path: Path) -> None:
    """A layer of the right size with one wrong bit went into every new job, also when it was fetched again."""
    where, good = project(tmp_path / "download"), tmp_path / "good"
    stage(where, [ToStage("a", b"abc"), ToStage("b", b"xyz")])
    where.download_path("a").write_bytes(b"abd")
    os.utime(where.download_path("a").with_name("a.md5"))
    good.write_bytes(b"abc")
    files = [ToStage("a", good, movable=True, length=3), ToStage("b", b"xyz")]
    assert stage(where, files) == 0
    assert stage(where, files, mend=True) == 3
    assert complete(where, "a", b"abc")
    assert complete(where, "b", b"xyz")
    assert stage(where, files, mend=True) == 0, "also with the moved one gone"
    assert not list(tmp_path.rglob("*.part"))


def test_two_that_replace_a_file_at_once_do_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other takes the ``.md5`` away, for a moment, right before it is flushed, or marked as used."""
    where = project(tmp_path)
    files = [ToStage("a", b"abc")]
    beside = where.download_path("a").with_name("a.md5")
    for name, real in (("flush", atomic.flush), ("utime", os.utime)):
        gone: list[Path] = []

        def act(path: Path, real: Callable[[Path], None] = real, gone: list[Path] = gone) -> None:
            if path == beside:
                gone.append(path)
                path.unlink()
            real(path)

        with monkeypatch.context() as patch:
            patch.setattr(staging if name == "flush" else os, name, act)
            stage(where, files, mend=True)
        assert gone
        assert stage(where, files) == 0
        assert complete(where, "a", b"abc")


def test_names_are_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A work unit must not outlive in the database, which flushes, a file that it names."""
    flushed: dict[Path, list[str]] = {}

    def flush(path: Path) -> None:
        flushed[path] = sorted(one.name for one in path.iterdir()) if path.is_dir() else []
        atomic.flush(path)

    monkeypatch.setattr(staging, "flush", flush)
    where = project(tmp_path)
    stage(where, [ToStage("a", b"1"), ToStage("b", b"2")])
    for name in "ab":
        path = where.download_path(name)
        assert {name, f"{name}.md5"} <= set(flushed[path.parent])
        assert path.with_name(f"{name}.md5") in flushed
    assert len(flushed[tmp_path]) == 2
    synced: list[None] = []
    monkeypatch.setattr(os, "sync", lambda: synced.append(None))
    stage(where, [ToStage(f"f{number}", b"1") for number in range(20)])
    assert len(synced) == 2, "contents before their names, then the names"


def test_a_file_that_changes_while_it_is_staged_is_noticed(tmp_path: Path) -> None:
    where, mine = project(tmp_path / "download"), tmp_path / "mine"
    mine.write_bytes(b"now")
    with pytest.raises(BuilderError, match="was changed"):
        stage(where, [ToStage("a", mine, length=3, digest=Digest.of(b"old"))])
    assert not where.download_path("a").exists()
    assert stage(where, [ToStage("a", mine, length=3, digest=Digest.of(b"now"))]) == 3


def stage_all(root: Path, number: int) -> None:
    for _ in range(3):
        stage(project(root), [ToStage(f"f{n}", bytes([n]) * 1000) for n in range((40 + number) % 41, 60)])


def test_submitters_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    workers = [multiprocessing.Process(target=stage_all, args=(tmp_path, number)) for number in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert [one.exitcode for one in workers] == [0] * 4
    where = project(tmp_path)
    assert all(complete(where, f"f{n}", bytes([n]) * 1000) for n in range(60))
    assert not list(tmp_path.rglob("*.part"))


KILLED = """
import sys
from pathlib import Path
from tests.project.test_staging import project, ToStage, stage
print("go", flush=True)
stage(project(Path(sys.argv[1])), [ToStage(f"f{n}", bytes([n % 256]) * 20000) for n in range(3000)])
"""


def test_a_submitter_killed_while_staging_leaves_nothing_half_done(tmp_path: Path) -> None:
    where = project(tmp_path / "download")
    for milliseconds in (30, 200):
        victim = subprocess.Popen(
            [sys.executable, "-c", KILLED, where.root],
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
        )
        assert victim.stdout is not None
        victim.stdout.readline()
        time.sleep(milliseconds / 1000)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        victim.stdout.close()
        for path in where.download.glob("*/f*"):
            if path.suffix != ".md5":
                number = int(path.name[1:])
                assert path.read_bytes() == bytes([number % 256]) * 20000
    files = [ToStage(f"f{n}", bytes([n % 256]) * 20000) for n in range(300)]
    stage(where, files)
    assert all(is_staged(where, one.name, 20000) for one in files)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, tiny_disk: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(3 << 20))
    with pytest.raises(HostError) as caught:
        stage(project(tiny_disk), [ToStage("a", b"1"), ToStage("b", big)])
    assert caught.value.code == "disk-full"
    assert not [path for path in tiny_disk.rglob("*") if path.is_file()]


def test_a_download_directory_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the system's own errors, since root ignores modes."""
    where = project(tmp_path)
    require_ready(where)
    before = sorted(tmp_path.iterdir())

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(where.download))

    for name, fake in (("access", lambda *_: False), ("open", read_only)):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fake)
            with pytest.raises(HostError, match=str(where.download)) as caught:
                require_ready(where)
        assert caught.value.code == "no-permission"
    monkeypatch.setattr(tempfile, "mkstemp", read_only)
    monkeypatch.setattr(staging, "_make_directory", lambda *_: None)
    with pytest.raises(HostError, match=str(where.download)) as caught:
        stage(where, [ToStage("a", b"1")])
    assert (caught.value.code, sorted(tmp_path.iterdir())) == ("no-permission", before)


def test_tidying_waits_for_submitters(tmp_path: Path) -> None:
    where = project(tmp_path)
    script = (
        "import sys, time; from pathlib import Path; from tests.project.test_staging import project, staging\n"
        "with staging.tidying(project(Path(sys.argv[1]))): print(time.monotonic())"
    )
    with staging.submitting(where), staging.submitting(where):
        other = subprocess.Popen(
            [sys.executable, "-c", script, tmp_path], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True
        )
        time.sleep(1.5)
        assert other.poll() is None
        ended = time.monotonic()
    out, _ = other.communicate(timeout=30)
    assert float(out) > ended
