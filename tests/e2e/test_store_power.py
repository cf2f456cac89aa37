"""The store when power is cut: real machines, real kills, in every phase of a job."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.e2e.store_rig import CHUNK, CONFIG, MB, Machine, Pushed, Rig

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400), pytest.mark.exhaustive]


def moment(rig: Rig, machine: Machine, image: Pushed, phase: str) -> Callable[[], bool]:
    """Is the machine where its power shall be cut?"""
    large, size = image.names[-1], len(image.layers[-1])
    return {
        "locking": lambda: (rig.store / "locks" / large).is_dir(),
        "downloading": lambda: rig.partial_bytes(large) > CHUNK,
        "verifying": lambda: rig.partial_bytes(large) == size,
        "renaming": lambda: rig.layer(large).exists(),
        "loading": machine.said("MB needed"),
        "running": machine.said("container started"),
        "results": machine.said("container exit"),
    }[phase]


@pytest.mark.parametrize("phases", ["locking verifying loading results", "downloading renaming running"])
def test_after_a_power_cut_the_next_machine_goes_on(
    rig: Rig, phases: str, record_property: Callable[[str, object], None]
) -> None:
    """Each machine finds what the last one left, goes on to its own phase, and is cut there; the last one completes."""
    image = rig.push("cut", 20 * MB)
    with rig.counting() as sent:
        for phase in phases.split():
            machine = rig.start(image, script="sleep 3; echo ran")
            machine.until(moment(rig, machine, image, phase), phase)
            machine.signal(signal.SIGKILL)
            assert machine.end()["status"] == 125
        # Long enough to see that the lock of a machine that died after its rename stands still.
        outcome = rig.run(image, script="sleep 100; echo ran")
    assert outcome["status"] == 0, outcome["events"]
    assert outcome["downloaded_bytes"] == 0  # everything that was fetched was kept
    # The only bytes that came twice are of the one chunk that was under way at the first cut.
    assert image.bytes <= sent[0] <= image.bytes + CHUNK + (len(rig.started) + 1) * CONFIG
    record_property("figure", f"cut while {phases}: {(sent[0] - image.bytes) / 1e6:.1f} MB sent again")
    assert "resumes at" in rig.started[1].events() + rig.started[2].events()
    rig.require_whole()
