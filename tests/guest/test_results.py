"""results.tgz: the same bytes for the same results; and bounded output of a job."""

from __future__ import annotations

import os
import random
import shutil
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.guest.machine import Machine

NAME = st.binary(min_size=1, max_size=20).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
PARTS = "results"
TREE = st.dictionaries(NAME, st.binary(max_size=50) | st.none(), max_size=8)


def pack(machine: Machine) -> bytes:
    machine.sh("results_pack", parts=PARTS)
    return (machine.keep / "results.tgz").read_bytes()


def plant(root: Path, tree: dict[bytes, bytes | None], seed: int) -> None:
    """The tree; its order, times, modes and owners depend on ``seed``. None is a directory with a link in it."""
    chance = random.Random(seed)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name in chance.sample(sorted(tree), len(tree)):
        path = root / os.fsdecode(name)
        content = tree[name]
        if content is None:
            path.mkdir()
            (path / "link").symlink_to("../x")
        else:
            path.write_bytes(content)
        path.chmod(chance.choice([0o700, 0o755, 0o777] if content is None else [0o600, 0o644, 0o777]))
        if os.geteuid() == 0:
            os.chown(path, chance.randrange(5000), chance.randrange(5000))
        os.utime(path, (chance.randrange(10**9), chance.randrange(10**9)))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREE, seed=st.integers(0, 1000))
def test_equal_results_are_equal_bytes(
    make: Callable[[str], Machine], tree: dict[bytes, bytes | None], seed: int
) -> None:
    machine = make("busybox")
    plant(machine.directory / "results", tree, seed)
    first = pack(machine)
    plant(machine.directory / "results", tree, seed + 1)
    assert pack(machine) == first
    with tarfile.open(machine.keep / "results.tgz", errors="surrogateescape") as tar:
        found = {os.fsencode(member.name): member for member in tar}
        expected = set(tree) | {name + b"/link" for name, content in tree.items() if content is None}
        assert set(found) == expected
        for name, content in tree.items():
            if content is not None:
                stream = tar.extractfile(found[name])
                assert stream is not None
                assert stream.read() == content
            assert (found[name].uid, found[name].gid, found[name].mtime) == (0, 0, 0)
            assert found[name].mode == (0o755 if content is None else 0o644)


def test_every_world_packs_everything(machine: Machine) -> None:
    results = machine.directory / "results"
    (results / "deep" / "er").mkdir(parents=True)
    (results / "empty").mkdir()
    for name in (".dot", "-rf", "with space", "deep/er/file", "ünï"):
        (results / name).write_text(name)
    if machine.world != "old":  # its tar keeps links as links
        (results / "hard").hardlink_to(results / ".dot")
    pack(machine)
    files = machine.archive(machine.keep / "results.tgz")
    assert files.pop("hard", b".dot") == files[".dot"] == b".dot"
    assert files["deep/er/file"] == b"deep/er/file"
    assert set(files) == {".dot", "-rf", "with space", "deep/er/file", "ünï"}
    with tarfile.open(machine.keep / "results.tgz") as tar:
        assert "empty" in {name.removeprefix("./").rstrip("/") for name in tar.getnames()}


def test_names_of_several_lines(machine: Machine) -> None:
    (machine.directory / "results").mkdir()
    (machine.directory / "results" / "two\nlines").write_text("x")
    pack(machine)
    assert set(machine.archive(machine.keep / "results.tgz")) == {"two\nlines"}


def test_no_results_are_an_empty_archive(machine: Machine) -> None:
    pack(machine)
    assert machine.archive(machine.keep / "results.tgz") == {}


def test_what_is_no_file_is_left_out(machine: Machine) -> None:
    results = machine.directory / "results"
    results.mkdir()
    (results / "file").write_text("x")
    os.mkfifo(results / "pipe")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(str(results / "s"))
        pack(machine)
    assert machine.archive(machine.keep / "results.tgz") == {"file": b"x"}
    assert "2 sockets, pipes or devices left out" in machine.log()


def test_a_failure_leaves_nothing_under_the_name(machine: Machine) -> None:
    machine.environment["PATH"] = machine.environment["B2D_PATH"]
    script = 'gzip() { cat >/dev/null; echo no space left >&2; return 1; }; results_pack || echo "$RESULTS_ERROR"'
    said = machine.sh(script, parts=PARTS)
    assert said == b"results.tgz cannot be packed: no space left\n"
    assert not list(machine.keep.iterdir())


@pytest.mark.parametrize("size", [0, 1, 65536, 131072, 140_000, 400_000])
def test_output_is_cut_in_the_middle_and_says_so(machine: Machine, size: int) -> None:
    machine.environment["B2D_OUTPUT_BYTES"] = "65536"
    data = random.Random(size).randbytes(size)
    (machine.root / "data").write_bytes(data)
    folder = machine.root / "output"
    folder.mkdir()
    machine.sh('cat "$1" | capture stdout "$2"', str(machine.root / "data"), str(folder), parts="capture")
    kept = (folder / "stdout.txt").read_bytes()
    note = b"\n[boinc2docker: the output was cut here; this is its end:]\n"
    if size <= 131072:
        assert kept == data
    else:
        start, end = kept.split(note)
        assert data.startswith(start)
        assert 65536 <= len(start) <= 65536 + 4096
        assert end == data[-65536:]
    assert (folder / "first-output").exists() is (size > 0)
    assert [path.name for path in folder.iterdir() if path.suffix == ".tail"] == []
