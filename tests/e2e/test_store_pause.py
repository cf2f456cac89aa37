"""The store's budget in real machines, and a machine that sleeps while its layers go."""

from __future__ import annotations

import signal
import time

import pytest

from tests.e2e.store_rig import MB, Rig

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400), pytest.mark.exhaustive]


def test_the_oldest_goes_and_what_runs_stays(rig: Rig) -> None:
    """A budget of less than three images; two are there, and the one not used for longer is running."""
    rig.limit_store(30)
    running = rig.push("running", 12 * MB, seed=1)
    idle = rig.push("idle", 12 * MB, seed=2)
    newest = rig.push("newest", 12 * MB, seed=3)
    rig.put(*running.layers, *idle.layers)
    # The container does not see the share: the machine, which does, tells it.
    tell = "{ until [ -e /mnt/b2d-share/enough ]; do sleep 1; done; : >/root/shared/enough; } &"
    job = rig.job(running, script="until [ -e /root/shared/enough ]; do sleep 0.2; done", first=tell)
    first = rig.start(job)
    first.until(first.said("container started"), "the container")
    for tick, image in ((1, running), (9, idle)):
        (rig.store / "used" / image.names[-1]).write_text(f"tick {tick}\nsome/image:1\n")
    second = rig.run(newest)
    assert second["status"] == 0, second["events"]
    assert f"removed sha256:{idle.names[-1][:12]}" in second["events"]
    assert {path.name for path in rig.layer_files()} == {*running.names, *newest.names}
    assert sum(path.stat().st_size for path in rig.layer_files()) <= 30 * 1_000_000
    (job / "enough").touch()
    outcome = first.end()
    assert outcome["status"] == 0, outcome["events"]
    assert outcome["downloaded_bytes"] == 0
    rig.require_whole()


def test_a_machine_that_sleeps_in_a_load_while_the_budget_evicts_its_layers(rig: Rig) -> None:
    """Stopped for so long that it is taken for dead: both complete, and no wrong byte is left."""
    rig.limit_store(30)
    slept = rig.push("slept", 6 * MB, 6 * MB, seed=1)
    other = rig.push("other", 20 * MB, seed=7)
    sleeper = rig.start(slept)
    sleeper.until(sleeper.said("layers: 0 in the store"), "the store")
    awake = rig.start(other)  # boots meanwhile
    sleeper.until(sleeper.said("MB needed"), "the load")
    time.sleep(3)
    sleeper.signal(signal.SIGSTOP)
    assert "loaded" not in sleeper.events()
    gone = [awake.said(f"removed sha256:{name[:12]}") for name in slept.names]
    awake.until(lambda: any(said() for said in gone), "an eviction")
    sleeper.signal(signal.SIGCONT)
    for machine in (awake, sleeper):
        outcome = machine.end()
        assert outcome["status"] == 0, outcome["events"]
    assert not list((rig.store / "corrupt").iterdir())
    assert sum(path.stat().st_size for path in rig.layer_files()) <= 30 * 1_000_000
    rig.require_whole()
