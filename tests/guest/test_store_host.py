"""The store on hosts that refuse: files that somebody holds, full disks, writes that never end, restored machines."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.blob_server import BlobServer
from tests.guest.machine import Machine
from tests.guest.store_job import (
    CHUNK,
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

PARTS = "gather"
SCANNER = """
held() { # Windows: a scanner reads each new file of the host's for two seconds
	for held_path; do
		case $held_path in "$B2D_SCRATCH"/*) ;; *) continue ;; esac
		for held_file in "$held_path" "$held_path"/* "$held_path"/*/*; do
			[ -f "$held_file" ] || continue
			held_at=$(stat -c %Y "$held_file" 2>/dev/null) || continue
			[ "$(($(date +%s) - held_at))" -ge 2 ] || return 0
		done
	done
	return 1
}
mv() { ! held "$@" && command mv "$@"; }
rm() { ! held "$@" && command rm "$@"; }
"""
VM = "0badcafe"


@pytest.fixture
def machine(shell: str, machines: Callable[..., Machine]) -> Machine:
    return machines(shell)


def named(machine: Machine) -> None:
    """This machine's name in the store is known."""
    (machine.root / "uuid").write_text(f"{VM}\n")
    machine.environment["B2D_UUID"] = str(machine.root / "uuid")


def left(scratch: Path, directory: str) -> list[str]:
    return sorted(path.name for path in (store(scratch) / directory).iterdir())


# --- Windows ---


def test_machines_whose_new_files_are_scanned_share_the_work(
    machines: Callable[..., Machine], server: BlobServer, scratch: Path
) -> None:
    wanted = image(server, [layer(number, size) for number, size in enumerate((9000, 900, 300))])
    running = [machines("busybox"), machines("dash")]
    for machine in running:
        machine.environment["B2D_MOVE_SECONDS"] = "10"
        write_job(machine, wanted, SCANNER)
    assert [process.wait(60) for process in [start(machine) for machine in running]] == [0, 0], running[0].output()
    assert sum(server.sent.values()) == wanted.size
    for machine in running:
        assert "working without" not in machine.log()
    whole(scratch)
    assert sorted(stored(scratch)) == sorted(wanted.names)
    assert left(scratch, "used") == sorted(wanted.names)
    assert [name for name in left(scratch, "partial") if not name.startswith("probe.")] == []
    assert left(scratch, "corrupt") == []


def test_a_file_that_is_always_held_fails_no_job(machine: Machine, server: BlobServer, scratch: Path) -> None:
    """Layers come into the store by their rename; without any, the machine goes on alone."""
    wanted = image(server, [layer("x", 9000)])
    machine.environment["B2D_MOVE_SECONDS"] = "1"
    extra = SCANNER.replace("-ge 2", "-ge 9999")
    assert run(machine, wanted, extra) == 0, machine.output()
    assert "working without the store: scratch cannot be written" in machine.log()
    assert stored(scratch) == {}


# --- a full disk ---


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


@pytest.mark.parametrize("look", ["looks", "too early"])
def test_a_disk_that_fills_up(
    machines: Callable[..., Machine], server: BlobServer, small_disk: Path, look: str
) -> None:
    """Whether the machine sees it in time or another program fills the disk after its look."""
    machine = machines("busybox", small_disk)
    machine.environment["B2D_CHUNK_BYTES"] = "100000"
    wanted = image(server, [layer("a", 450_000)])
    began = time.monotonic()
    assert run(machine, wanted, "" if look == "looks" else "share_room() { :; }\n") == 0, machine.output()
    assert time.monotonic() - began < 30
    assert "working without the store: it cannot be written (full?)" in machine.log()
    assert left(small_disk, "partial") == []
    assert left(small_disk, "locks") == []
    held = os.statvfs(small_disk)
    assert held.f_bavail * held.f_frsize > 300_000  # a full disk of the volunteer's does not stay full because of us


# --- a write that never ends ---


@pytest.mark.parametrize(
    ("place", "shell"),
    in_turn(["partial/probe.{vm}", "used/running.{vm}.main.new", "partial/{hex}.{vm}", "partial/{hex}.{vm}.whole"]),
)
def test_a_write_that_hangs_is_ended(machine: Machine, server: BlobServer, scratch: Path, place: str) -> None:
    """A pipe that nobody reads stands in for vboxsf, where a refused write is tried for ever."""
    named(machine)
    machine.environment["B2D_SHARE_SECONDS"] = "1"
    wanted = image(server, [layer("x", 9000)])
    server.always = "no-range" if place.endswith("whole") else ""
    path = store(scratch) / place.format(vm=VM, hex=wanted.names[0])
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    refuse = 'rm() { case "$*" in *' + path.name + '*) return 1 ;; esac; command rm "$@"; }\n'
    began = time.monotonic()
    assert run(machine, wanted, refuse) == 0, machine.output()
    assert time.monotonic() - began < 30
    assert "working without the store: " in machine.log()
    assert sources(machine) == ["registry"]


def test_a_hanging_note_of_use_costs_nothing_but_time(machine: Machine, server: BlobServer, scratch: Path) -> None:
    machine.environment["B2D_SHARE_SECONDS"] = "1"
    wanted = image(server, [layer("x", 900)])
    (store(scratch) / "used").mkdir(parents=True)
    os.mkfifo(store(scratch) / "used" / wanted.names[0])
    assert run(machine, wanted) == 0, machine.output()
    assert "working without" not in machine.log()
    assert sorted(stored(scratch)) == wanted.names


HANGING = """
store_open
beat_once() { trap '' TERM; : >"$B2D_RUN/hangs"; while :; do sleep 1; done; }
beat_start
until [ -e "$B2D_RUN/hangs" ]; do sleep 0.1; done
kill -0 "$BEAT_PID" || exit 3
store_beater=$BEAT_PID
gather_close
! kill -0 "$store_beater" 2>/dev/null
"""


def test_the_end_does_not_wait_for_a_beat_that_hangs(machine: Machine) -> None:
    machine.environment["B2D_SHARE_SECONDS"] = "1"
    began = time.monotonic()
    machine.sh(HANGING, parts=PARTS)
    assert time.monotonic() - began < 20


# --- a machine restored from its saved state ---

RESTORED = """
appended=0
share_append() { # at the third chunk the machine is restored: a part of it is written, to whatever file
	share_room "${1%/*}" "$B2D_CHUNK_BYTES" || return 1
	appended=$((appended + 1))
	[ "$appended" -eq 3 ] && [ ! -e "$B2D_RUN/restores" ] || { cat >>"$1" && return 0; }
	head -c 1000 | tr '\\000-\\377' X >>"$1"
	echo 1 >"$B2D_RUN/restores"
	return 137
}
"""


@pytest.mark.parametrize("answer", ["", "no-range"])
def test_a_restore_in_a_chunk_costs_that_chunk(
    machine: Machine, server: BlobServer, scratch: Path, answer: str
) -> None:
    wanted = image(server, [layer("x", 5 * CHUNK)])
    server.always = answer
    assert run(machine, wanted, RESTORED) == 0, machine.output()
    assert "the machine was restored from its saved state, again in 0 s" in machine.log()
    assert "working without" not in machine.log()
    assert "wrong bytes" not in machine.log()
    assert list(stored(scratch).values()) == [wanted.layers[0]]
    if not answer:
        assert server.sent[wanted.names[0]] == wanted.size + CHUNK
    whole(scratch)


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        (b"A" * 100 + b"B" * 60, b"A" * 100),
        (b"A" * 100, b"A" * 100),
        (b"A" * 99, None),
        (b"B" * 60 + b"C" * 40, None),  # somebody has removed the file: this is the chunk alone
        (b"B" * 60 + b"C" * 60, None),
        (b"", None),
        (None, None),
    ],
)
def test_what_stays_of_a_part_after_a_failed_write(machine: Machine, there: bytes | None, kept: bytes | None) -> None:
    part = machine.root / "part"
    if there is not None:
        part.write_bytes(there)
    (machine.run_dir / "chunk").write_bytes(b"B" * 60 + b"C" * 60)
    machine.sh('PART_BYTES=120; part_cut "$1" 100', str(part), parts=PARTS)
    assert (part.read_bytes() if part.exists() else None) == kept


# --- marks ---

MARKS = """
STORE_HOST=$1 STORE_VM=me
printf '%064d 17\\n' 1 2 >"$B2D_RUN/store-running"
budget_mark main
cp "$1/used/running.me" "$1/first"
budget_mark main
cp "$1/used/running.me" "$1/second"
head -n 1 "$1/first" >"$1/used/running.me" # made anew by a beat, after somebody believed this machine dead
budget_mark beat
"""


def test_a_beat_is_a_new_first_line_and_what_is_lost_comes_back(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    machine.sh(MARKS, str(tmp_path), parts=PARTS)
    names = "".join(f"{number:064d} 17\n" for number in (1, 2))
    found = [(tmp_path / name).read_text() for name in ("first", "second", "used/running.me")]
    for text in found:
        assert text[47] == "\n"
        assert text[48:] == names
    assert len({text[:48] for text in found}) == 3
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["running.me"]


# --- progress ---


@pytest.mark.parametrize("answer", ["", "no-range"])
def test_progress_follows_the_bytes(machine: Machine, server: BlobServer, answer: str) -> None:
    server.always = answer
    wanted = image(server, [layer("x", 5 * CHUNK), layer("y", 500)])
    assert run(machine, wanted, f'progress_say() {{ echo "$1" >>{machine.root}/told; }}\n') == 0, machine.output()
    told = [float(line) for line in (machine.root / "told").read_text().split()]
    fetching = told[: told.index(0.008) + 1]
    assert fetching == sorted(fetching)
    assert len({round(value, 4) for value in fetching}) >= 6
    assert fetching[0] == 0.003


def test_where_progress_cannot_be_told(machine: Machine, server: BlobServer) -> None:
    (machine.share / "progress").mkdir()
    assert run(machine, image(server, [layer("x", 9000)])) == 0, machine.output()
    assert state(machine, "downloaded-bytes").strip()
    forget(machine)
