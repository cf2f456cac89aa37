"""Locks and marks that outlive their machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.machine import Machine
from tests.guest.store_job import prepare, store

PARTS = "gather"
WHOLE, ALIVE, MISSING, UNWANTED = (f"{number:064x}" for number in range(4))

LIFE = """
store_open
cp /dev/null "$B2D_RUN/store-running"
mkdir -p "$B2D_STATE"
echo "$3 1000" >"$B2D_STATE/missing"
touch "$STORE/layers/sha256/$1" "$STORE/layers/sha256/$2"
for time in 0 15 30 45 60 75; do
	printf '%s.00 0\\n' "$time" >"$B2D_BOOTED"
	[ -d "$STORE/locks/$1" ] || exit 3 # it may not be taken away before a minute has passed
	[ "$time" -ge 60 ] || printf '%s\\n' "$time" >"$STORE/locks/$2/other/heartbeat"
	beat_once
	[ "$time" -lt 60 ] || break
done
"""


def test_the_lock_of_a_machine_that_died_after_its_rename_goes(machine: Machine, scratch: Path) -> None:
    """Nobody waits for it, so whoever lives for a minute takes it away. One that beats stays, and so does one of a
    layer that this machine waits for: it takes that over. What had come of a layer that nobody wants stays."""
    prepare(machine, scratch)
    machine.environment["B2D_BOOTED"] = str(machine.root / "clock")
    for name in (WHOLE, ALIVE, MISSING, UNWANTED):
        (store(scratch) / "partial").mkdir(parents=True, exist_ok=True)
        (store(scratch) / "partial" / f"{name}.other").write_bytes(b"12")
        owner = store(scratch) / "locks" / name / "other"
        owner.mkdir(parents=True)
        (owner / "heartbeat").write_text("17 4.20\n")
    machine.sh(LIFE, WHOLE, ALIVE, MISSING, parts=PARTS)
    assert {path.name for path in (store(scratch) / "locks").iterdir()} == {ALIVE, MISSING}
    assert {path.name for path in (store(scratch) / "partial").iterdir()} == {
        f"{name}.other" for name in (ALIVE, MISSING, UNWANTED)
    }
    assert f"sha256:{UNWANTED[:12]}: the other machine is gone, and its lock" in machine.log()


END = """
store_point() { [ "$1" != mark-beat ] || sleep 0.3; }
store_open
cp /dev/null "$B2D_RUN/store-running"
budget_mark main
echo x >"$B2D_RUN/store-running"
touch "$STORE/used/running.other.beat.new"
new=$STORE/used/running.$STORE_VM.beat.new
beat_start
until [ -e "$new" ]; do sleep 0.01; done
gather_close
"""


def test_a_machine_that_ends_during_a_beat_leaves_no_mark(machine: Machine, scratch: Path) -> None:
    """The end comes between the writing of the new mark and its rename."""
    prepare(machine, scratch)
    machine.sh(END, parts=PARTS)
    assert [path.name for path in (store(scratch) / "used").iterdir()] == ["running.other.beat.new"]


HELD = """
tries=$1
rm() {
	case "$*" in *"$B2D_SCRATCH"*) [ "$tries" -eq 0 ] || { tries=$((tries - 1)) && return 1; } ;; esac
	command rm "$@"
}
store_rest() { :; }
store_open
printf '%064d 17\\n' 1 >"$B2D_RUN/store-running"
budget_mark main
lock_try "$2"
tries=$1
lock_release
BEAT_PID=$$ tries=$1
beat_stop() { BEAT_PID=; }
gather_close
"""


def test_what_somebody_reads_at_the_end_goes_a_moment_later(machine: Machine, scratch: Path) -> None:
    """A file that is open cannot be removed on Windows; a lock or a mark that stays is a dead machine's."""
    prepare(machine, scratch)
    machine.sh(HELD, "2", WHOLE, parts=PARTS)
    assert list((store(scratch) / "locks").iterdir()) == []
    assert list((store(scratch) / "used").iterdir()) == []


BREAK = """
store_open
mkdir -p "$STORE/locks/$1/other"
printf '%s\\n' 1 >"$STORE/locks/$1/other/heartbeat"
for time in 0 20 40 60; do
	printf '%s.00 0\\n' "$time" >"$B2D_BOOTED"
	lock_stale "$1" && break
done
mv() { return 1; } # somebody reads the heartbeat
lock=$1 now=$2
store_pause() { printf '%s\\n' "$now" >"$STORE/locks/$lock/other/heartbeat"; }
lock_break "$1" 3
case $? in
"$LOCK_STUCK") echo LOCK_STUCK ;;
"$LOCK_ALIVE") echo LOCK_ALIVE ;;
esac
"""


@pytest.mark.parametrize(("beat", "status"), [("1", "LOCK_STUCK"), ("2", "LOCK_ALIVE")])
def test_a_lock_that_cannot_be_taken_away_at_once(machine: Machine, scratch: Path, beat: str, status: str) -> None:
    """Stuck: there is no way. Alive: another machine was faster, and there is no reason to leave the store."""
    prepare(machine, scratch)
    machine.environment["B2D_BOOTED"] = str(machine.root / "clock")
    assert machine.sh(BREAK, WHOLE, beat, parts=PARTS).decode().split() == [status]
