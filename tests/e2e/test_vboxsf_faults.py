"""What hosts do to a machine on VirtualBox' shared folders: real machines over the emulated guest device.

The device follows VirtualBox' source and the rules of Windows; it is neither VirtualBox nor Windows.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from boinc2docker.errors import HostError
from boinc2docker.vm.guest_device import MODULE, OPTIONS
from boinc2docker.vm.vfio_qemu import vfio_qemu
from tests.e2e.store_rig import CHUNK, CONFIG, MB, Machine, Rig

pytestmark = [pytest.mark.machine, pytest.mark.timeout(3600), pytest.mark.exhaustive]
WRITES = "head -c 20000000 /bin/busybox /dev/urandom >/root/shared/results/big; "
"""A container's results, too large for one piece of the copy."""


@pytest.fixture(autouse=True)
def like_virtualbox(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Every machine of this module has VirtualBox' guest device."""
    try:
        vfio_qemu()
    except HostError as error:
        pytest.skip(f"{error}")
    monkeypatch.setenv("B2D_LIKE", "virtualbox")
    return monkeypatch


def device(machine: Machine) -> int:
    """The process that is a machine's guest device."""
    children = Path(f"/proc/{machine.process.pid}/task/{machine.process.pid}/children")
    for pid in children.read_text().split():
        if MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    raise AssertionError(machine.events())


def after(machine: Machine, text: str, number: signal.Signals, limit: float = 1200) -> None:
    """Signals the device when the machine has said ``text``."""
    machine.until(machine.said(text), text, limit)
    os.kill(device(machine), number)


def report(outcome: dict[str, Any]) -> dict[str, Any]:
    """What the machine asked of its device."""
    figures: dict[str, Any] = json.loads((Path(outcome["log"]) / "vmmdev.json").read_text())
    return figures


def test_two_machines_share_one_download_and_the_next_needs_none(rig: Rig) -> None:
    image = rig.push("together", 9 * MB, 5 * MB)
    with rig.counting() as sent:
        machines = [rig.start(image, "--memory", "1GB") for _ in range(2)]
        outcomes = [machine.end(2400) for machine in machines]
    assert [outcome["status"] for outcome in outcomes] == [0, 0], [outcome["events"] for outcome in outcomes]
    assert image.bytes <= sent[0] <= image.bytes + 2 * CONFIG
    assert "shared by vboxsf" in str(outcomes[0]["events"])
    warm = rig.run(image)
    assert warm["status"] == 0, warm["events"]
    assert warm["downloaded_bytes"] == 0
    rig.require_whole()


def test_a_power_cut_loses_one_chunk_at_most(rig: Rig) -> None:
    image = rig.push("cut", 20 * MB)
    with rig.counting() as sent:
        machine = rig.start(image)
        machine.until(lambda: rig.partial_bytes(image.names[-1]) > CHUNK, "a chunk", 1200)
        machine.signal(signal.SIGKILL)
        assert machine.end()["status"] != 0
        outcome = rig.run(image)
    assert outcome["status"] == 0, outcome["events"]
    assert image.bytes <= sent[0] <= image.bytes + CHUNK + 2 * CONFIG
    rig.require_whole()


def test_a_machine_restored_while_it_loads_runs_and_packs_goes_on(rig: Rig) -> None:
    """Its open files are dead, or others, three times: the job ends as if nothing had been."""
    image = rig.push("restored", 12 * MB)
    machine = rig.start(image, "--disk", "2GB", script=WRITES + "sleep 40; echo ran")
    for moment in ("MB needed", "container started", "container exit"):
        after(machine, moment, signal.SIGUSR1)
    outcome = machine.end(2400)
    assert outcome["status"] == 0, outcome["events"]
    assert "restored from its saved state" in str(outcome["events"])
    assert (Path(str(outcome["results"])) / "big").stat().st_size >= 20_000_000
    figures = report(outcome)
    assert figures["restores"] == 3
    assert figures["stale"]["hits"] == [], "no file of somebody else was written or closed"
    rig.require_whole()


def test_results_wait_for_a_full_disk_of_the_host_and_a_job_ends_on_one(rig: Rig) -> None:
    image = rig.push("full", 1 * MB)
    machine = rig.start(image, "--disk", "2GB", script=WRITES + "sleep 20; echo ran")
    after(machine, "container started", signal.SIGUSR2)
    machine.until(machine.said("the host's disk is full"), "the full disk", 1200)
    os.kill(device(machine), signal.SIGUSR2)
    outcome = machine.end(1200)
    assert outcome["status"] == 0, outcome["events"]
    rig.require_whole()

    job = rig.job(
        image, script=WRITES + "echo ran", first="printf 'B2D_ROOM_SECONDS=20\\n' >>/opt/boinc2docker/lib/paths.sh"
    )
    machine = rig.start(job, "--disk", "2GB")
    after(machine, "container started", signal.SIGUSR2)
    outcome = machine.end(2400)  # the agent waits ten minutes for room
    assert outcome["status"] == 125, outcome["events"]
    assert "the host's disk is full" in str(outcome["events"])


def test_a_windows_host_with_a_virus_scanner(rig: Rig, like_virtualbox: pytest.MonkeyPatch) -> None:
    like_virtualbox.setenv(OPTIONS, "--windows --scanner 2")
    image = rig.push("scanned", 12 * MB)
    cold = rig.run(image, script=WRITES + "echo ran")
    assert cold["status"] == 0, cold["events"]
    assert report(cold)["host"] == {"windows": True, "scanner": 2.0, "delay": 0.0}
    assert "working without the store" not in str(cold["events"])
    assert (Path(str(cold["results"])) / "big").stat().st_size >= 20_000_000
    rig.require_whole()


def test_a_slow_host(rig: Rig, like_virtualbox: pytest.MonkeyPatch) -> None:
    """Two milliseconds a call: 2 MB a second."""
    like_virtualbox.setenv(OPTIONS, "--delay 0.002")
    image = rig.push("slow", 4 * MB)
    outcome = rig.run(image, script=WRITES + "echo ran")
    assert outcome["status"] == 0, outcome["events"]
    assert report(outcome)["host"]["delay"] == 0.002
    rig.require_whole()
