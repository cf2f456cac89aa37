"""The store on the host's disk: sharing, budget, garbage, corruption, and scratch directories that cannot be used."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.blob_server import BlobServer, serving
from tests.guest.machine import Machine, engine_socket, everyday
from tests.guest.store_job import (
    CHUNK,
    SHELLS,
    StoredImage,
    image,
    in_turn,
    layer,
    prepare,
    run,
    sources,
    start,
    state,
    store,
    stored,
    whole,
    write_job,
)

PARTS = "paths log mounts docker lock budget store registry fetch gather source image"


@pytest.fixture
def server() -> Iterator[BlobServer]:
    with serving() as world:
        yield world


@pytest.fixture
def machines(make: Callable[[str], Machine], scratch: Path) -> Iterator[Callable[..., Machine]]:
    """Machines with this scratch and an engine each."""
    engines = []

    def machine(shell: str, shared: Path | None = scratch) -> Machine:
        made = make(shell)
        prepare(made, shared)
        engine = engine_socket(made.root / "docker.sock")
        engine.__enter__()
        engines.append(engine)
        return made

    yield machine
    for engine in engines:
        engine.__exit__(None, None, None)


@pytest.fixture(params=everyday(SHELLS))
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(shell: str, machines: Callable[..., Machine]) -> Machine:
    return machines(shell)


def forget(machine: Machine) -> None:
    """Docker's disk is blank again."""
    for path in machine.stub.glob("loaded-*"):
        path.unlink()


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
    write_job(machine, wanted, "LOCK_STILL_SECONDS=4\n")
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
        return machine.sh(script, *words, parts="paths log lock").decode().split()

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
    """A scratch on a file system of 100 KB; needs root."""
    point = tmp_path / "small"
    point.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "none", point], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield point
    subprocess.run(["umount", "-l", point], check=True)


def test_a_full_scratch(machines: Callable[..., Machine], shell: str, server: BlobServer, small_disk: Path) -> None:
    machine = machines(shell, small_disk)
    wanted = image(server, [layer("a", 20000), layer("b", 60000), layer("c", 20000)])
    assert run(machine, wanted) == 0, machine.output()
    assert "working without the store: it cannot be written (full?)" in machine.log()
    assert not list((store(small_disk) / "partial").iterdir())
    for name, content in stored(small_disk).items():
        assert hashlib.sha256(content).hexdigest() == name


def test_a_scratch_that_was_full_before(
    machines: Callable[..., Machine], shell: str, server: BlobServer, small_disk: Path
) -> None:
    with (small_disk / "foreign").open("wb") as foreign, pytest.raises(OSError, match="No space"):
        foreign.write(b"x" * 200000)
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
    assert run(machine, wanted, "LOCK_STILL_SECONDS=2\nstore_pause() { sleep 0.3; }\n") == 0, machine.output()
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


# --- budget ---


def with_budget(machine: Machine, bytes_: int) -> str:
    """A job's line that sets the budget in bytes: megabytes are too coarse here."""
    return f"budget_bytes() {{ echo {bytes_}; }}\nstore_pause() {{ sleep 0.2; }}\nLOCK_STILL_SECONDS=2\n"


def test_the_least_recently_used_goes_first(machine: Machine, server: BlobServer, scratch: Path) -> None:
    images = [image(server, [layer("base", 5000), layer(number, 9000)]) for number in range(4)]
    budget = 5000 + 2 * 9000 + 500
    for wanted in (images[0], images[1], images[0], images[2]):
        forget(machine)
        assert run(machine, wanted, with_budget(machine, budget)) == 0, machine.output()
        assert sum(map(len, stored(scratch).values())) <= budget
    assert sorted(stored(scratch)) == sorted({*images[0].names, *images[2].names})
    assert "removed sha256:" + images[1].names[1][:12] in machine.log()
    assert not (store(scratch) / "used" / images[1].names[1]).exists()
    whole(scratch)


def test_a_smaller_budget_is_kept_although_nothing_is_fetched(
    machine: Machine, server: BlobServer, scratch: Path
) -> None:
    first, second = (image(server, [layer("base", 5000), layer(name, 9000)]) for name in "xy")
    assert run(machine, second) == run(machine, first) == 0
    forget(machine)
    assert run(machine, first, with_budget(machine, 12000)) == 0, machine.output()
    assert sources(machine) == ["store", "store"]
    assert sorted(stored(scratch)) == sorted(first.names)
    assert "removed sha256:" + second.names[1][:12] in machine.log()


def test_an_image_larger_than_the_budget_is_not_stored(machine: Machine, server: BlobServer, scratch: Path) -> None:
    wanted = image(server, [layer("x", 9000), layer("y", 9000)])
    assert run(machine, wanted, with_budget(machine, 12000)) == 0, machine.output()
    assert "working without the store: its budget of 0.0 MB is in use" in machine.log()
    assert stored(scratch) == {}


def test_a_running_machines_layers_stay(
    machines: Callable[..., Machine], shell: str, server: BlobServer, scratch: Path
) -> None:
    first, second = image(server, [layer("x", 9000)]), image(server, [layer("y", 9000)])
    running, other = machines(shell), machines(shell)
    (running.stub / "container").write_text(f"while [ ! -e {running.stub}/enough ]; do sleep 0.1; done\n")
    write_job(running, first)
    process = start(running)
    running.wait_for(lambda: "container started" in running.log())
    assert run(other, second, with_budget(other, 12000)) == 0, other.output()
    assert list(stored(scratch)) == first.names
    assert "working without the store: its budget" in other.log()
    (running.stub / "enough").touch()
    assert process.wait(30) == 0
    forget(other)
    assert run(other, second, with_budget(other, 12000)) == 0, other.output()
    assert list(stored(scratch)) == second.names


def test_a_dead_machines_mark_does_not_keep_its_layers(machine: Machine, server: BlobServer, scratch: Path) -> None:
    first, second = image(server, [layer("x", 9000)]), image(server, [layer("y", 9000)])
    assert run(machine, first) == 0
    mark = store(scratch) / "used" / "running.0000-dead"
    mark.write_text(f"beat beat 9 12.00\n{first.names[0]} 9000\n")
    assert run(machine, second, with_budget(machine, 12000)) == 0, machine.output()
    assert list(stored(scratch)) == second.names
    assert not mark.exists()
    assert "over its budget: looking which machines still run" in machine.log()


def test_use_is_noted_for_the_host(machine: Machine, server: BlobServer, scratch: Path) -> None:
    for name in ("b:1", "a:2", "b:1"):
        wanted = image(server, [layer("x", 900)])
        lines = wanted.lines.replace("python:3-slim", name)
        forget(machine)
        assert run(machine, StoredImage(wanted.layers, wanted.config, lines)) == 0
    used = store(scratch) / "used" / wanted.names[0]
    assert used.read_text() == "tick 3\nb:1\na:2\n"


@pytest.mark.parametrize("text", ["", "0", "12", "x", "-5", "99999999999999", "1.5", "08000", "010000", "00"])
def test_the_budget_of_the_site(machine: Machine, text: str) -> None:
    machine.environment["SITE_STORE_BUDGET_MB"] = text
    found = int(machine.sh("budget_bytes", parts="paths log budget"))
    assert found == {"0": 0, "12": 12_000_000, "08000": 8_000_000_000, "00": 0}.get(text, 10_000_000_000)


def test_chunks_are_what_the_tests_think(machine: Machine) -> None:
    assert machine.sh('echo "$B2D_CHUNK_BYTES"', parts="paths").strip() == str(CHUNK).encode()


def test_where_no_lock_can_be_taken(machine: Machine, server: BlobServer) -> None:
    """Root may write everywhere, so the shell's mkdir stands in for a directory that refuses."""
    extra = (
        'mkdir() { case "$*" in */scratch/*/locks/*) return 1 ;; esac; command mkdir "$@"; }\nstore_pause() { :; }\n'
    )
    assert run(machine, image(server, [layer("x", 900)]), extra) == 0, machine.output()
    assert "working without the store: no lock can be taken" in machine.log()
