"""Locks and marks that outlive their machines."""

from __future__ import annotations

from pathlib import Path

from tests.guest.machine import Machine
from tests.guest.store_job import prepare, store

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
	store_beat
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
    machine.sh(LIFE, WHOLE, ALIVE, MISSING, parts="paths limit log share canary mounts docker lock budget store source")
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
store_alive
until [ -e "$new" ]; do sleep 0.01; done
store_close
"""


def test_a_machine_that_ends_during_a_beat_leaves_no_mark(machine: Machine, scratch: Path) -> None:
    """The end comes between the writing of the new mark and its rename."""
    prepare(machine, scratch)
    machine.sh(END, parts="paths limit log share canary mounts docker lock budget store source")
    assert [path.name for path in (store(scratch) / "used").iterdir()] == ["running.other.beat.new"]
