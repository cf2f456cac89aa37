"""Files on the host, as the agent uses them: a full disk, a busy name, a write that hangs, a link in the way."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.machine import Machine, engine_socket
from tests.guest.small_disk import fill, small_disk

PARTS = "deliver"
REPORT = "report"
KB = 1024


@pytest.fixture
def disk(machine: Machine) -> Iterator[Path]:
    """The share, on a small file system of its own."""
    with small_disk(machine.share):
        yield machine.share
        machine.cut_power()


# --- a full disk ---


def test_every_function_returns_on_a_full_disk_and_reserved_files_can_be_written(machine: Machine, disk: Path) -> None:
    machine.environment["B2D_ROOM_SECONDS"] = "0"
    (machine.root / "data").write_bytes(bytes(200 * KB))
    machine.sh('share_reserve "$B2D_SHARE/heartbeat" 21 && report_reserve', parts=REPORT)
    fill(disk)
    started = time.monotonic()
    script = """
        for call in "share_write $B2D_SHARE/a" "share_append $B2D_SHARE/b" "share_reserve $B2D_SHARE/c 4096" \\
            "share_copy $1 $B2D_SHARE/d" "deliver $1 e" 'canary_start'; do
            head -c 9000 /dev/zero | $call && echo "$call"
        done
        share_overwrite "$B2D_SHARE/heartbeat" 12.34 21 && report_complete 0 done && echo ended
    """
    assert machine.sh(script, str(machine.root / "data"), parts=REPORT) == b"ended\n"
    assert time.monotonic() - started < 10
    assert (disk / "heartbeat").read_text() == f"{'12.34':<20}\n"
    assert machine.completion.read_text() == "0\n0\ndone"
    assert {path.name for path in disk.glob("[!.]*")} == {"heartbeat", "completion_trigger_file", "rubbish"}


def test_small_files_find_the_room_that_large_ones_leave(machine: Machine, disk: Path) -> None:
    (machine.root / "data").write_bytes(bytes(100 * KB))
    script = 'deliver "$1" large 0 || echo small | share_write "$B2D_SHARE/small"'
    machine.sh(script, str(machine.root / "data"), parts=PARTS)
    assert [path.name for path in disk.iterdir()] == ["small"]


def test_results_that_the_host_has_no_room_for_fail_the_job_and_it_is_reported(machine: Machine, disk: Path) -> None:
    machine.job('head -c 300000 /dev/urandom >"$B2D_JOB/results/big"\n')
    code, message = machine.run_job()
    assert code == 1
    assert message == "results.tgz cannot be handed over: the host's disk is full: results.tgz needs 1 MB"
    assert "waiting for room" in machine.log()
    assert not [path.name for path in disk.iterdir() if path.name.endswith((".part", ".tgz"))]
    heartbeat = (disk / "heartbeat").stat().st_mtime_ns
    with engine_socket(machine.root / "docker.sock"):
        machine.power_on()
        machine.boot()
        machine.wait_for(lambda: (disk / "heartbeat").stat().st_mtime_ns > heartbeat)


def test_results_wait_for_room(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    machine.environment["B2D_ROOM_SECONDS"] = "6000"
    with small_disk(machine.share, "2m"):
        machine.job('head -c 300000 /dev/urandom >"$B2D_JOB/results/big"; echo >"$B2D_JOB/full"; sleep 0.5\n')
        with engine_socket(machine.root / "docker.sock"):
            machine.boot()
            machine.wait_for((machine.work / "job" / "full").exists)
            rubbish = fill(machine.share)
            machine.wait_for(lambda: "waiting for room" in machine.log())
            rubbish.unlink()
            machine.wait_for(machine.completion.exists)
            machine.cut_power()
        assert machine.completion.read_text() == "0\n0\n"
        assert len(machine.archive("results.tgz")["big"]) == 300_000


# --- names in use, as on Windows hosts ---


def test_a_busy_name_is_tried_again(machine: Machine) -> None:
    (machine.share / "a").write_text("new")
    (machine.share / "b").write_text("old")
    script = """
        mv() { echo x >>"$STUB/moves"; [ "$(grep -c . "$STUB/moves")" -gt 2 ] && command mv "$@"; }
        share_move "$B2D_SHARE/a" "$B2D_SHARE/b"
    """
    machine.sh(script, parts=PARTS)
    assert [(path.name, path.read_text()) for path in machine.share.iterdir()] == [("b", "new")]


def test_a_name_that_stays_busy_is_given_up_and_one_that_is_gone_at_once(machine: Machine) -> None:
    (machine.share / "a").write_text("new")
    machine.environment["B2D_MOVE_SECONDS"] = "2"
    script = """
        mv() { echo x >>"$STUB/moves"; return 1; }
        share_move "$B2D_SHARE/a" "$B2D_SHARE/b" || echo busy
        share_move "$B2D_SHARE/none" "$B2D_SHARE/b" || echo gone
    """
    assert machine.sh(script, parts=PARTS) == b"busy\ngone\n"
    assert (machine.stub / "moves").read_text() == "x\n" * 3


# --- copies ---


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 3_670_016 + 1])
def test_files_are_copied_in_pieces(machine: Machine, size: int) -> None:
    machine.environment["B2D_PIECE_MB"] = "1"
    data = random.Random(size).randbytes(size)
    (machine.root / "data").write_bytes(data)
    (machine.share / "whole").write_bytes(b"old" * 2_000_000)
    (machine.share / "whole.part").write_bytes(b"left from before" * 300_000)
    script = 'limit() { echo "$*" >>"$STUB/limits"; shift; "$@"; }; deliver "$1" whole'
    machine.sh(script, str(machine.root / "data"), parts=PARTS)
    assert (machine.share / "whole").read_bytes() == data
    assert [path.name for path in machine.share.iterdir()] == ["whole"]
    assert (machine.stub / "limits").read_text().count(" dd ") == max(1, -(-size >> 20))


def test_a_copy_that_is_changed_underneath_is_noticed_and_made_again(machine: Machine) -> None:
    machine.environment["B2D_PIECE_MB"] = "1"
    data = random.Random(0).randbytes(2_500_000)
    (machine.root / "data").write_bytes(data)
    # Another file's byte lands in the second piece while it is written.
    script = """
        limit() {
            shift
            "$@" || return 1
            case $* in *' seek=1 '*) ;; *) return 0 ;; esac
            echo x >>"$STUB/spoils"
            [ "$(grep -c . "$STUB/spoils")" -gt "$spoils" ] ||
                printf 'any other byte' | dd of="$B2D_SHARE/whole.part" bs=1 seek=1500000 conv=notrunc
        }
        spoils=$2
        deliver "$1" whole || echo "$DELIVER_ERROR"
    """
    path = str(machine.root / "data")
    assert machine.sh(script, path, "2", parts=PARTS) == b""
    assert (machine.share / "whole").read_bytes() == data
    (machine.stub / "spoils").unlink()
    (machine.share / "whole").unlink()
    assert machine.sh(script, path, "9", parts=PARTS) == b"whole.part does not hold what was written\n"
    assert not list(machine.share.iterdir())


# --- writes that hang: on vboxsf whatever the host refuses; here a pipe that nobody reads ---


@pytest.mark.parametrize("call", ["share_write", "share_append"])
def test_a_write_that_hangs_is_ended(machine: Machine, call: str) -> None:
    machine.environment["B2D_SHARE_SECONDS"] = "1"
    os.mkfifo(machine.share / "pipe")
    started = time.monotonic()
    assert machine.sh(f'echo x | {call} "$B2D_SHARE/pipe" || echo failed', parts=PARTS) == b"failed\n"
    assert 0.9 < time.monotonic() - started < 10


# --- what somebody left there under the agent's names (F8) ---

NAMES = (
    "heartbeat",
    "progress",
    "completion_trigger_file",
    "completion_trigger_file.part",
    "temporary_exit_trigger_file",
    "results.tgz",
    "results.tgz.part",
    "boinc_log.tgz",
    "boinc_log.tgz.part",
    ".boinc2docker/boots",
    ".boinc2docker/canary",
)


def test_links_in_the_share_are_not_followed(machine: Machine) -> None:
    victims = machine.root / "victims"
    (victims / "directory").mkdir(parents=True)
    (machine.share / ".boinc2docker").mkdir()
    for number, name in enumerate(NAMES):
        (victims / str(number)).write_text("mine\n" * 2000)
        (machine.share / name).symlink_to(victims / str(number))
    machine.job('echo 1 >"$B2D_JOB/results/x"; echo 0.5 >"$B2D_JOB/progress"\n')
    with engine_socket(machine.root / "docker.sock"):
        machine.boot()
        machine.wait_for(lambda: "report exit 0" in machine.log() and not machine.completion.is_symlink())
        machine.cut_power()
    assert all((victims / str(number)).read_text() == "mine\n" * 2000 for number in range(len(NAMES)))
    assert machine.archive("results.tgz") == {"x": b"1\n"}
    assert machine.completion.read_text() == "0\n0\n"


def test_directories_in_the_place_of_files_are_replaced(machine: Machine) -> None:
    victim = machine.root / "victim"
    victim.mkdir()
    (machine.share / ".boinc2docker").symlink_to(victim)
    for name in ("heartbeat", "progress", "completion_trigger_file.part"):
        (machine.share / name / "deep").mkdir(parents=True)
    # These come while the job runs.
    machine.job(f"ln -s {victim} $B2D_SHARE/results.tgz; mkdir -p $B2D_SHARE/boinc_log.tgz/x\n")
    assert machine.run_job() == (0, "")
    assert not list(victim.iterdir())
    assert machine.archive("results.tgz") == {}
    assert machine.record()["exit_code"] == 0
