"""The store when power is cut or a machine is paused: real machines, real kills."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.conftest import call
from tests.e2e.store_rig import MB, Machine, Pushed, Rig

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400), pytest.mark.exhaustive]


CHUNK = 8 * MB
CONFIG = 1000


def partials(rig: Rig) -> list[Path]:
    directory = rig.store / "partial"
    return [path for path in directory.rglob("*") if path.is_file()] if directory.is_dir() else []


def at_phase(rig: Rig, machine: Machine, image: Pushed, phase: str) -> None:
    """Waits until the machine is where its power shall be cut."""
    sizes = {len(layer) for layer in image.layers}

    def sized() -> list[int]:
        found = []
        for path in partials(rig):
            try:
                found.append(path.stat().st_size)
            except FileNotFoundError:
                continue
        return found

    conditions = {
        "locking": lambda: (rig.store / "locks").is_dir() and any((rig.store / "locks").iterdir()),
        "downloading": lambda: any(CHUNK <= size < max(sizes) for size in sized()),
        "verifying": lambda: any(size == max(sizes) for size in sized()),
        "renaming": lambda: len(rig.layer_files()) == 1,
        "loading": machine.said("MB needed"),
        "running": machine.said("container started"),
        "results": machine.said("container exit"),
    }
    machine.until(conditions[phase], phase)


@pytest.mark.parametrize("phase", ["locking", "downloading", "verifying", "renaming", "loading", "running", "results"])
def test_after_a_power_cut_the_next_machine_goes_on(rig: Rig, phase: str) -> None:
    image = rig.push("cut", 40 * MB)
    with rig.counting() as sent:
        machine = rig.start(image, script="sleep 3; echo ran")
        machine.until(lambda: rig.store.is_dir(), "a store")
        at_phase(rig, machine, image, phase)
        machine.signal(signal.SIGKILL)
        assert machine.end()["status"] == 1
        outcome = rig.run(image)
    assert outcome["status"] == 0, outcome["events"]
    assert sent[0] <= image.bytes + CHUNK + 2 * CONFIG
    assert not partials(rig)


def test_a_machine_that_slept_through_a_takeover_harms_nobody(rig: Rig) -> None:
    """Stopped while it holds a lock, woken after another machine has taken over and finished: both complete."""
    image = rig.push("pause", 40 * MB)
    sleeper = rig.start(image)
    sleeper.until(lambda: rig.store.is_dir(), "a store")
    at_phase(rig, sleeper, image, "downloading")
    sleeper.signal(signal.SIGSTOP)
    other = rig.run(image)
    assert other["status"] == 0, other["events"]
    sleeper.signal(signal.SIGCONT)
    outcome = sleeper.end()
    assert outcome["status"] == 0, outcome["events"]
    verified = call("store", "verify", rig.scratch, "--json")
    assert verified.returncode == 0, verified.stderr
    assert not list((rig.store / "corrupt").iterdir())
