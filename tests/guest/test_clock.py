"""The machine's clock is stepped to the host's; a stand-in for ``date`` is the clock here, never the real one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.machine import Machine

LEAST = 1_700_000_000
NOW = 1_790_000_000
DATE = """#!/bin/sh
case "$*" in
+%s) cat "$STUB/clock" ;;
"-u -s @"*)
	echo "$3" >>"$STUB/set"
	[ ! -e "$STUB/locked" ] || exit 1
	echo "${3#@}" >"$STUB/clock" ;;
*) exit 2 ;;
esac
"""


class Clock:
    """A machine with a clock, and a host with one."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        date = machine.stub / "date"
        date.write_text(DATE)
        date.chmod(0o755)
        self.uptime = machine.root / "uptime"
        self.uptime.write_text("100.07 3.14\n")
        machine.environment |= {"B2D_DATE": str(date), "B2D_BOOTED": str(self.uptime)}
        self.file = machine.share / "heartbeat"
        self.here(NOW)

    def here(self, seconds: int | str) -> None:
        (self.machine.stub / "clock").write_text(f"{seconds}\n")

    def host(self, seconds: int) -> None:
        """The host writes the file."""
        self.file.touch()
        os.utime(self.file, (seconds, seconds))

    def check(self, script: str = 'clock_check "$1" 100.01', file: Path | None = None) -> None:
        self.machine.sh(script, str(file or self.file), parts="clock")

    @property
    def steps(self) -> list[str]:
        path = self.machine.stub / "set"
        return path.read_text().split() if path.exists() else []

    @property
    def events(self) -> list[str]:
        return [line.split(" ", 2)[2] for line in self.machine.log().splitlines()]


@pytest.fixture
def clock(make: Callable[[str], Machine], world: str) -> Clock:
    return Clock(make(world))


@pytest.mark.parametrize("off", [0, 60, -60])
def test_a_clock_that_is_nearly_right_stays(clock: Clock, off: int) -> None:
    clock.host(NOW + off)
    clock.check()
    assert clock.steps == clock.events == []


@pytest.mark.parametrize("off", [61, -61, 7200, -7200])
def test_a_clock_that_is_off_is_stepped_once(clock: Clock, off: int) -> None:
    clock.host(NOW + off)
    clock.check('clock_check "$1" 100.01; clock_check "$1" 100.01')
    assert clock.steps == [f"@{NOW + off}"]
    assert clock.events == [f"boot clock stepped by {off} s"]
    clock.check()
    assert len(clock.steps) == 1, "it is right now"


def test_time_that_passed_since_the_write_is_no_difference(clock: Clock) -> None:
    clock.uptime.write_text("3700.99 3.14\n")
    clock.host(NOW - 3600)
    clock.check()
    assert clock.steps == []
    clock.here(NOW + 1000)
    clock.check()
    assert clock.steps == [f"@{NOW}"]


@pytest.mark.parametrize("before", ["''", "x", "999999", "08.5"])
def test_an_uptime_that_makes_no_sense_is_harmless(clock: Clock, before: str) -> None:
    clock.host(NOW + 100)
    clock.check(f'clock_check "$1" {before} && echo')
    assert len(clock.steps) == 1


def test_a_file_that_was_not_written_again_is_no_clock(clock: Clock) -> None:
    clock.host(NOW)
    clock.check(f'clock_check "$1" 100.01; echo {NOW + 900} >"$STUB/clock"; clock_check "$1" 100.01')
    assert clock.steps == []


def test_never_to_a_time_that_cannot_be_right(clock: Clock) -> None:
    clock.host(LEAST - 1)
    clock.check()
    assert clock.steps == []
    assert clock.events == ["boot the host's clock is years behind: not followed"]
    clock.host(LEAST)
    clock.check()
    assert clock.steps == [f"@{LEAST}"]


def test_a_machine_that_woke_up_in_1980_is_brought_back(clock: Clock) -> None:
    clock.here(315_532_800)
    clock.host(NOW)
    clock.check()
    assert clock.steps == [f"@{NOW}"]


def test_what_cannot_be_asked_or_set_is_harmless(clock: Clock) -> None:
    clock.check('clock_check "$1" 100.01 && echo ok >"$STUB/ok"', clock.machine.share / "not there")
    assert (clock.machine.stub / "ok").exists()
    clock.host(NOW + 500)
    for nonsense in ("", "x", "-5", "1e9", "0999", "123456789012"):
        clock.here(nonsense)
        clock.check()
    assert clock.steps == clock.events == []
    clock.here(NOW)
    (clock.machine.stub / "locked").touch()
    clock.check("for n in 1 2 3; do CLOCK_SEEN=''; clock_check \"$1\" 100.01 || exit 3; done")
    assert clock.events == ["boot clock is -500 s off and cannot be set"]


def test_a_machine_that_is_often_paused_does_not_fill_the_log(clock: Clock) -> None:
    one = 'CLOCK_SEEN=\'\'; clock_check "$1" 100.01; echo 1 >"$STUB/clock"'
    script = f"n=0; while [ $n -lt 30 ]; do n=$((n + 1)); {one}; done"
    clock.host(NOW)
    clock.here(1)
    clock.check(script)
    assert len(clock.steps) == 30
    assert len(clock.events) == 21
    assert clock.events[-1] == "boot clock: further steps are not logged"


def test_the_agent_steps_the_clock_at_its_first_beat(clock: Clock) -> None:
    """The heartbeat is written for real, so the host's time is this computer's."""
    machine = clock.machine
    machine.environment["B2D_BOOTED"] = "/proc/uptime"
    (machine.share / "heartbeat").write_text(" " * 21)
    machine.job("#!/bin/sh\n:\n")
    before = int(time.time())
    clock.here(before - 7200)
    assert machine.run_job() == (0, "")
    assert len(clock.steps) == 1
    assert before <= int(clock.steps[0].removeprefix("@")) <= time.time()
    assert len([event for event in clock.events if event.startswith("boot clock stepped by 72")]) == 1


def test_a_beat_that_failed_is_no_clock(clock: Clock) -> None:
    """A file that stands still is as old as the trouble: following it would turn the clock back."""
    (clock.machine.share / "heartbeat").write_text("old")
    os.utime(clock.machine.share / "heartbeat", (NOW - 90_000, NOW - 90_000))
    clock.machine.sh(
        "share_overwrite() { return 1; }; share_reserve() { return 1; }; sleep 1 & heartbeat_loop $!",
        parts="heartbeat mount",
    )
    assert clock.steps == []
