"""What a killed process leaves under temporary names is removed by the next one; a living process's never is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from boinc2docker import atomic, leftovers
from tests.equipment.checkout import PYTHON_PATH

_WRITER = """
import sys
from pathlib import Path
from boinc2docker import atomic, leftovers

kind, place = sys.argv[1], Path(sys.argv[2])
makers = {
    "file": lambda: atomic.replacing(place / "out"),
    "directory": lambda: leftovers.directory_part_of(place / "out"),
    "scratch": lambda: leftovers.scratch(place),
}
with makers[kind]() as path:
    (path if kind == "file" else path / "content").write_bytes(b"half" * 1000)
    print(path, flush=True)
    sys.stdin.readline()
    if kind == "directory":
        path.rename(place / "out")
"""
KINDS = ("file", "directory", "scratch")


class Writer:
    """Another process in the middle of writing; ``path`` is its temporary name."""

    def __init__(self, kind: str, place: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, kind, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": PYTHON_PATH},
            text=True,
        )
        assert self.process.stdout is not None
        self.path = Path(self.process.stdout.readline().strip())

    def finish(self) -> int:
        self.process.communicate("go on\n", timeout=60)
        return self.process.returncode

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=60)


Start = Callable[[str, Path], Writer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts writers, which end with the test."""
    with contextlib.ExitStack() as stack:

        def started(kind: str, place: Path) -> Writer:
            writer = Writer(kind, place)
            stack.callback(writer.kill)
            return writer

        yield started


def write(kind: str, place: Path) -> None:
    """The same again, by this process, from beginning to end."""
    makers: dict[str, Callable[[], AbstractContextManager[Path]]] = {
        "file": lambda: atomic.replacing(place / "out"),
        "directory": lambda: leftovers.directory_part_of(place / "out"),
        "scratch": lambda: leftovers.scratch(place),
    }
    with makers[kind]() as path:
        (path if kind == "file" else path / "content").write_bytes(b"whole")


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_write_removes_what_a_killed_one_left(kind: str, tmp_path: Path, start: Start) -> None:
    writers = [start(kind, tmp_path) for _ in range(3)]
    for writer in writers:
        writer.kill()
        assert writer.path.exists()
    write(kind, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if kind == "file" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_living_process_writes_stays(kind: str, tmp_path: Path, start: Start) -> None:
    living, dead = start(kind, tmp_path), start(kind, tmp_path)
    dead.kill()
    write(kind, tmp_path)
    assert living.path.exists()
    assert not dead.path.exists()
    assert living.finish() == 0
    content = {"file": tmp_path / "out", "directory": tmp_path / "out" / "content"}
    if kind in content:
        assert content[kind].read_bytes() == b"half" * 1000
    assert not living.path.exists()


def test_writers_of_one_file_at_once_and_a_third_of_them_killed(tmp_path: Path, start: Start) -> None:
    """Each sweeps at its start while others are being killed: nobody loses a part that is in use."""
    writers: list[Writer] = []
    for number in range(12):
        writers.append(start("file", tmp_path))
        if number % 3 == 1:
            writers[number].kill()
    assert [writer.finish() for number, writer in enumerate(writers) if number % 3 != 1] == [0] * 8
    write("file", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_only_parts_of_this_very_target_are_swept(tmp_path: Path) -> None:
    names = [
        ".out2.abcdefgh.part",
        ".out.x.abcdefgh.part",
        ".out.abcdefg.part",
        ".out.ABCDEFGH.part",
        "out.abcdefgh.part",
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "precious").write_bytes(b"x")
    (tmp_path / ".out.linklink.part").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / ".out.pipepipe.part")
    before = {path.name for path in tmp_path.iterdir()}
    (tmp_path / ".out.abcdefgh.part").write_bytes(b"x")
    write("file", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before | {"out"}


def test_what_belongs_to_somebody_else_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".out.abcdefgh.part"
    left.write_bytes(b"x")
    monkeypatch.setattr(os, "geteuid", lambda: left.stat().st_uid + 1)
    write("file", tmp_path)
    assert left.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_without_locks_nothing_is_swept_and_writing_works(
    kind: str, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    writer = start(kind, tmp_path)
    writer.kill()
    monkeypatch.setattr(fcntl, "flock", none)
    write(kind, tmp_path)
    assert writer.path.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_between_making_and_locking(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has lost what it made to a sweep makes another one."""
    lock = leftovers._lock
    made: list[Path] = []

    def late(descriptor: int) -> bool | None:
        if not made:
            made.append(next(tmp_path.iterdir()))
            made[0].unlink() if kind == "file" else made[0].rmdir()
        return lock(descriptor)

    monkeypatch.setattr(leftovers, "_lock", late)
    write(kind, tmp_path)
    assert made
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if kind == "file" else [])


def test_an_error_leaves_neither_part_nor_target(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), atomic.replacing(tmp_path / "out"):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []
