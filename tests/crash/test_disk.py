"""The model of a disk: what is legal to lose is lost somewhere, what was flushed never; and what strace saw is all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.crash.disk import ROOT, Disk, Link, Mark, Operation, Recording, Rename, Sync, Truncate, Unlink, Write
from tests.crash.disk import crash_states as states
from tests.crash.recording import record

FILE, OTHER, FOLDER = 1, 2, 3


def trees(*operations: Operation, old: bytes | None = None, exhaustive: bool = False) -> list[dict[str, object]]:
    """All states, as far as nothing was told that they would have to be kept apart for."""
    names = {"a": FILE} if old is not None else {}
    before = Disk({FILE: bytearray(old or b""), OTHER: bytearray()}, {ROOT: dict(names), FOLDER: {}})
    found = states(Recording(before, operations), exhaustive=exhaustive)
    return [dict(one.tree) for one in found]


def test_a_file_without_any_flush_may_be_whole_torn_empty_or_absent() -> None:
    found = trees(Link(ROOT, "a", FILE), Write(FILE, 0, b"whole!"))
    assert {tuple(tree.items()) for tree in found} == {
        (),
        (("a", b""),),
        (("a", b"whole!"),),
        (("a", b"who"),),
        (("a", b"who\0\0\0"),),
    }


def test_what_was_flushed_stays() -> None:
    steps: list[Operation] = [
        Link(ROOT, "a", FILE),
        Write(FILE, 0, b"x"),
        Sync(FILE),
        Sync(ROOT),
        Write(FILE, 1, b"y"),
        Sync(FILE),
    ]
    last = [one.tree for one in states(Recording(Disk({FILE: bytearray()}), (*steps, Mark("told")))) if one.told]
    assert last == [{"a": b"xy"}]


def test_a_name_needs_its_directory_flushed_and_the_data_its_file() -> None:
    named: list[Operation] = [Link(ROOT, "a", FILE), Write(FILE, 0, b"x"), Sync(FILE), Mark("told")]
    assert {} in trees(*named), "a file's fsync is not its name's"
    data: list[Operation] = [Link(ROOT, "a", FILE), Write(FILE, 0, b"x"), Sync(ROOT), Mark("told")]
    assert {"a": b""} in trees(*data)


def test_replacing_without_a_flush_may_leave_an_empty_file() -> None:
    """The classic: the rename is on the disk, the bytes are not."""
    careless: list[Operation] = [
        Link(ROOT, "a.part", OTHER),
        Write(OTHER, 0, b"new"),
        Rename(ROOT, "a.part", ROOT, "a", OTHER),
    ]
    assert {"a": b""} in trees(*careless, old=b"old")
    careful = [*careless[:2], Sync(OTHER), careless[2], Sync(ROOT)]
    assert {str(tree["a"]) for tree in trees(*careful, old=b"old")} == {"b'old'", "b'new'"}


def test_names_may_come_in_any_order_and_a_lost_directory_takes_what_is_in_it() -> None:
    steps: list[Operation] = [Link(ROOT, "d", FOLDER), Link(FOLDER, "a", FILE), Unlink(ROOT, "old")]
    found = trees(*steps)
    assert {"d": None} in found
    assert {"d": None, "d/a": b""} in found
    assert {} in found


def test_a_lost_truncation_brings_back_old_bytes() -> None:
    found = trees(Truncate(FILE, 0), Write(FILE, 0, b"n"), old=b"old")
    assert {"a": b"nld"} in found
    assert {"a": b""} in found


def test_more_is_chosen_in_the_long_run() -> None:
    steps: list[Operation] = [Write(FILE, place, bytes([65 + place]) * 2) for place in range(0, 8, 2)]
    few, many = trees(*steps, old=b""), trees(*steps, old=b"", exhaustive=True)
    assert all(tree in many for tree in few)
    assert len(many) > len(few)


SHELL = """
cd "$1"
echo one >"a b"; echo two >>"a b"; exec 5>c; echo x >&5; (echo y >&5; echo z >&5); echo w >&5
mkdir -p d/e; mv c d/e/c; cp "a b" copy; ln -s copy link; ln copy hard; : >copy2; rm copy2
dd if="a b" of=d/holes bs=3 seek=2 conv=notrunc 2>/dev/null
printf 123456 | dd of=old bs=2 seek=1 conv=notrunc 2>/dev/null
truncate -s 2 "a b"; sync d; mv d f
{ echo p & wait; echo q; } >f/both; rm -rf gone; cat old >>f/both; echo told:it >&2
"""
PYTHON = """
import os, shutil, sqlite3, sys
from pathlib import Path
root = Path(sys.argv[1])
shutil.copyfile(sys.argv[2], root / "copied")
with (root / "r+").open("w+b") as f:
    f.write(b"0123456789"); f.seek(3); f.write(b"x"); f.truncate(8); os.pwrite(f.fileno(), b"end", 20)
    os.fsync(f.fileno())
d = sqlite3.connect(root / "db")
d.execute("PRAGMA journal_mode = WAL"); d.execute("CREATE TABLE t (a)")
d.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 40); d.commit(); d.close()
os.posix_fallocate(os.open(root / "room", os.O_CREAT | os.O_WRONLY), 0, 100)
print("told:done", file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize(
    "words",
    [["bash", "-c", SHELL, "sh"], ["busybox", "sh", "-c", SHELL, "sh"], [sys.executable, "-c", PYTHON]],
    ids=["bash", "busybox", "python"],
)
def test_what_was_recorded_is_what_is_there(words: Sequence[str], tmp_path: Path) -> None:
    """All operations together make the very directory that the kernel made."""
    needs("strace", "busybox")
    root, source = tmp_path / "root", tmp_path / "source"
    (root / "gone" / "x").mkdir(parents=True)
    (root / "old").write_bytes(b"old bytes")
    source.write_bytes(bytes(range(256)) * 4000)
    recording = record([*words, root, source], root, tmp_path / "log")
    there: dict[str, bytes | str | None] = {}
    for path in root.rglob("*"):
        content = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
        there[str(path.relative_to(root))] = content
    assert recording.disk(recording.operations).tree() == there
    assert [one.text for one in recording.operations if isinstance(one, Mark)] in (["it"], ["done"])
    assert any(isinstance(one, Sync) for one in recording.operations)
