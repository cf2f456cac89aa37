"""The store on the host's disk: sharing, garbage, corruption, and scratch directories that cannot be used."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.blob_server import BlobServer
from tests.guest.machine import Machine
from tests.guest.store_job import (
    CHUNK,
    SHELLS,
    forget,
    image,
    in_turn,
    layer,
    run,
    sources,
    start,
    state,
    store,
    stored,
    whole,
    write_job,
)


@pytest.fixture
def machine(shell: str, machines: Callable[..., Machine]) -> Machine:
    return machines(shell)


# --- sharing ---


def test_machines_that_start_together_fetch_each_byte_once(
    machines: Callable[..., Machine], server: BlobServer, scratch: Path
) -> None:
    wanted = image(server, [layer(number, 9000) for number in range(5)])
    running = [machines(shell) for shell in SHELLS]
    for machine in running:
        write_job(machine, wanted)
    processes = [start(machine) for machine in running]
    assert [process.wait(60) for process in processes] == [0, 0, 0], running[0].output()
    assert dict(server.sent) == dict(zip(wanted.names, map(len, wanted.layers), strict=True))
    assert sum(int(state(machine, "downloaded-bytes")) for machine in running) == wanted.size
    for machine in running:
        assert int(state(machine, "downloaded-bytes")) + int(state(machine, "reused-bytes")) == wanted.size
    whole(scratch)
    assert not list((store(scratch) / "used").glob("running.*"))


def test_a_dead_machines_lock_is_taken_over(machine: Machine, server: BlobServer, scratch: Path) -> None:
    wanted = image(server, [layer("x", 9000)])
    lock = store(scratch) / "locks" / wanted.names[0] / "0000-dead"
    lock.mkdir(parents=True)
    (lock / "heartbeat").write_text("17 4.20\n")
    write_job(machine, wanted, "SEEN_STILL_SECONDS=4\n")
    process = start(machine)
    assert process.wait(60) == 0
    assert "the other machine is gone, taking over" in machine.log()
    assert f"waits for another machine (sha256:{wanted.names[0][:12]})" in machine.log()
    whole(scratch)


def test_time_asleep_is_not_time_watched(machine: Machine) -> None:
    """A machine whose clock jumps by hours has not watched a lock for hours."""
    clock = machine.root / "clock"
    machine.environment["B2D_BOOTED"] = str(clock)
    script = (
        'mkdir -p "$B2D_RUN/seen"\n'
        'for now in "$@"; do printf "%s.00 1\\n" "${now%/*}" >"$B2D_BOOTED"; '
        'if seen_still k "${now#*/}"; then echo still; else echo no; fi; done\n'
    )

    def looks(*words: str) -> list[str]:
        shutil.rmtree(machine.run_dir / "seen", ignore_errors=True)
        return machine.sh(script, *words, parts="seen").decode().split()

    assert looks("0/a", "20/a", "40/a", "59/a", "60/a") == ["no", "no", "no", "no", "still"]
    assert looks("0/a", "9999/a", "19999/a", "29999/a") == ["no", "no", "no", "still"]
    assert looks("0/a", "9999/b", "10000/a") == ["no", "no", "no"]
    assert looks("0/a", "40/a", "45/b", "70/b", "90/b", "110/b") == ["no", "no", "no", "no", "no", "still"]
    assert looks("100/a", "0/a", "20/a", "40/a", "60/a") == ["no", "no", "no", "no", "still"]


# --- scratch directories that cannot be used ---


def test_without_scratch(machines: Callable[..., Machine], shell: str, server: BlobServer) -> None:
    machine = machines(shell, None)
    wanted = image(server, [layer("x", 9000), layer("y", 10)])
    assert run(machine, wanted) == 0, machine.output()
    assert "store working without the store: there is no scratch" in machine.log()
    assert sources(machine) == ["registry", "registry"]
    assert not (machine.root / "docker" / "boinc2docker").exists()


def test_a_store_of_another_version(machine: Machine, server: BlobServer, scratch: Path) -> None:
    root = store(scratch)
    root.mkdir(parents=True)
    for content in ("2\n", "", "\0\xff" * 9999):
        (root / "format").write_text(content)
        forget(machine)
        assert run(machine, image(server, [layer("x", 900)])) == 0
        assert machine.log().count("working without the store: scratch has a store of another version") == 1
        assert [path.name for path in root.iterdir()] == ["format"]
        (machine.root / "agent.log").unlink()
    (root / "format").write_text("1\n")
    forget(machine)
    assert run(machine, image(server, [layer("x", 900)])) == 0
    assert "working without" not in machine.log()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A scratch on a file system of 400 KB, of which 256 count as none; needs root."""
    point = tmp_path / "small"
    point.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "none", point], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield point
    subprocess.run(["umount", "-l", point], check=True)


def test_a_full_scratch(machines: Callable[..., Machine], shell: str, server: BlobServer, small_disk: Path) -> None:
    machine = machines(shell, small_disk)
    wanted = image(server, [layer("a", 20000), layer("b", 160_000), layer("c", 20000)])
    assert run(machine, wanted) == 0, machine.output()
    assert "working without the store: it cannot be written (full?)" in machine.log()
    assert not list((store(small_disk) / "partial").iterdir())
    for name, content in stored(small_disk).items():
        assert hashlib.sha256(content).hexdigest() == name


def test_a_scratch_that_was_full_before(
    machines: Callable[..., Machine], shell: str, server: BlobServer, small_disk: Path
) -> None:
    with (small_disk / "foreign").open("wb") as foreign, pytest.raises(OSError, match="No space"):
        foreign.write(b"x" * 800_000)
    machine = machines(shell, small_disk)
    assert run(machine, image(server, [layer("a", 9000)])) == 0, machine.output()
    assert "working without the store" in machine.log()


def test_a_read_only_scratch(
    machines: Callable[..., Machine], shell: str, server: BlobServer, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    machine = machines(shell, small_disk)
    assert run(machine, image(server, [layer("a", 9000)])) == 0, machine.output()
    assert "working without the store: scratch cannot be written" in machine.log()


# --- corruption and garbage ---


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def directory_instead(path: Path) -> None:
    path.unlink()
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "file").write_text("x")


def dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "truncated": lambda path: os.truncate(path, 10),
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "foreign": lambda path: path.write_bytes(b"x" * path.stat().st_size),
    "directory": directory_instead,
    "dangling": dangling_link,
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize(("damage", "shell"), in_turn(DAMAGES))
def test_a_damaged_layer_is_fetched_once_more(machine: Machine, server: BlobServer, scratch: Path, damage: str) -> None:
    wanted = image(server, [layer("x", 9000), layer("y", 900)])
    assert run(machine, wanted) == 0
    forget(machine)
    DAMAGES[damage](store(scratch) / "layers" / "sha256" / wanted.names[0])
    server.sent.clear()
    assert run(machine, wanted) == 0, machine.output()
    assert dict(server.sent) == {wanted.names[0]: len(wanted.layers[0])}
    whole(scratch)
    assert sorted(stored(scratch)) == sorted(wanted.names)
    corrupt = list((store(scratch) / "corrupt").iterdir())
    assert [path.name.split(".")[0] for path in corrupt] == ([] if damage == "gone" else [wanted.names[0]])
    assert sources(machine) == ["registry", "store"]


def test_a_layer_that_is_always_bad_ends_the_job(machine: Machine, server: BlobServer) -> None:
    """Right by its digest but not what Docker wants: nobody's cache is to blame, and nothing is fetched again."""
    wanted = image(server, [layer("x", 900)])
    (machine.stub / "load-fails").touch()
    extra = 'docker() { case "$1" in load) cat >/dev/null; echo "no space left on device"; return 1 ;; esac; }\n'
    assert run(machine, wanted, extra) == 1
    assert "docker load failed: no space left" in state(machine, "message")
    assert server.sent[wanted.names[0]] == len(wanted.layers[0])


def test_corrupt_layers_go_after_a_day(machine: Machine, server: BlobServer, scratch: Path) -> None:
    corrupt = store(scratch) / "corrupt"
    corrupt.mkdir(parents=True)
    now = int(time.time())
    kept = {f"a.{now - 80000}", f"b.{now + 80000}"}
    gone = {f"c.{now - 90000}", f"d.{now + 90000}", "e", "f.x", "g.99999999999999999999", "h.", "j.0900"}
    for name in kept | gone:
        (corrupt / name).write_text("x")
    (corrupt / f"i.{now - 90000}").mkdir()
    assert run(machine, image(server, [layer("x", 90)])) == 0
    assert {path.name for path in corrupt.iterdir()} == kept


def make_directory(path: Path) -> None:
    (path / "a" / "b").mkdir(parents=True)


GARBAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "huge": lambda path: path.write_bytes(b"x" * 3_000_000),
    "numbers": lambda path: path.write_bytes(
        b"tick 99999999999999999999999\nbeat 1\n" + b"f" * 64 + b" 99999999999999999\n"
    ),
    "directory": make_directory,
    "dangling": lambda path: path.symlink_to("nowhere"),
}
PLACES = (
    "locks/{hex}",
    "locks/{hex}/0000-dead",
    "locks/{hex}/0000-dead/heartbeat",
    "locks/{hex}.old",
    "partial/{hex}",
    "partial/{hex}.0000-dead",
    "partial/nonsense",
    "used/{hex}",
    "used/running.0000-dead",
    "used/nonsense",
    "layers/sha256/nonsense",
    "layers/sha256/{hex}",
    "corrupt/{hex}.1",
)


@pytest.mark.parametrize(
    ("place", "shell"), in_turn([(place, kind) for place in PLACES for kind in GARBAGE], every=5, all_shells=False)
)
def test_garbage_in_a_control_file(machine: Machine, server: BlobServer, scratch: Path, place: tuple[str, str]) -> None:
    wanted = image(server, [layer("x", 5000), layer("y", 900)])
    path = store(scratch) / place[0].format(hex=wanted.names[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    GARBAGE[place[1]](path)
    # A budget so small that every mark has to be read.
    machine.environment["SITE_STORE_BUDGET_MB"] = "0" if place[0].startswith("used") else "1"
    assert run(machine, wanted, "SEEN_STILL_SECONDS=2\nstore_pause() { sleep 0.3; }\n") == 0, machine.output()
    for name in wanted.names:
        kept = store(scratch) / "layers" / "sha256" / name
        assert not kept.exists() or hashlib.sha256(kept.read_bytes()).hexdigest() == name
    assert server.sent[wanted.names[0]] <= 2 * len(wanted.layers[0])


@pytest.mark.parametrize(
    ("place", "shell"),
    in_turn(
        ["boinc2docker", "boinc2docker/v1"]
        + [f"boinc2docker/v1/{name}" for name in ("layers", "layers/sha256", "partial", "locks", "used", "corrupt")]
    ),
)
@pytest.mark.parametrize("kind", ["binary", "dangling"])
def test_a_file_in_place_of_a_directory(
    machine: Machine, server: BlobServer, scratch: Path, place: str, kind: str
) -> None:
    path = scratch / place
    path.parent.mkdir(parents=True, exist_ok=True)
    GARBAGE[kind](path)
    assert run(machine, image(server, [layer("x", 5000)])) == 0, machine.output()
    assert "working without" not in machine.log()
    whole(scratch)
    assert len(stored(scratch)) == 1


def test_chunks_are_what_the_tests_think(machine: Machine) -> None:
    assert machine.sh('echo "$B2D_CHUNK_BYTES"', parts="paths").strip() == str(CHUNK).encode()


def test_where_no_lock_can_be_taken(machine: Machine, server: BlobServer) -> None:
    """Root may write everywhere, so the shell's mkdir stands in for a directory that refuses."""
    extra = (
        'mkdir() { case "$*" in */scratch/*/locks/*) return 1 ;; esac; command mkdir "$@"; }\nstore_pause() { :; }\n'
    )
    assert run(machine, image(server, [layer("x", 900)]), extra) == 0, machine.output()
    assert "working without the store: no lock can be taken" in machine.log()
