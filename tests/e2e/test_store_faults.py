"""The store and everything that can be wrong around it, in real machines."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import call
from tests.e2e.images import busybox_layer
from tests.e2e.store_rig import MB, Rig, zeros_layer

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400), pytest.mark.exhaustive]


def test_damage_is_found_set_aside_and_fetched_once_more(rig: Rig) -> None:
    """Flipped, cut, emptied, swapped and unreadable layers, and rubbish in every folder of the store, all at once."""
    image = rig.push("damage", 2 * MB, 2 * MB + 1, 2 * MB + 2, 2 * MB + 3, 2 * MB + 4)
    assert rig.run(image)["status"] == 0
    flipped, cut, empty, swapped, unreadable, _ = rig.layer_files()
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 0x10
    flipped.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:-1000])
    empty.write_bytes(b"")
    swapped.write_bytes(unreadable.read_bytes())
    unreadable.unlink()
    unreadable.mkdir()
    for folder in ("partial", "locks", "used", "corrupt"):
        (rig.store / folder).mkdir(exist_ok=True)
        (rig.store / folder / "rubbish").write_bytes(b"\xff\x00rubbish\n")
        (rig.store / folder / ("0" * 64)).mkdir()
    outcome = rig.run(image)
    assert outcome["status"] == 0, outcome["events"]
    again = rig.run(image)
    assert again["status"] == 0, again["events"]
    assert again["downloaded_bytes"] == 0


@pytest.mark.parametrize("trouble", ["read-only", "full", "other version"])
def test_without_a_usable_store_the_job_runs_and_says_so(rig: Rig, trouble: str) -> None:
    image = rig.push("degraded", 3 * MB)
    rig.scratch.mkdir()
    mounted = trouble != "other version"
    if mounted:
        options = "size=1m" if trouble == "full" else "size=1m,ro"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", rig.scratch], check=False)
        if done.returncode != 0:
            pytest.skip("mounting a small disk needs root")
    else:
        rig.store.mkdir(parents=True)
        (rig.store / "format").write_text("99\n")
    try:
        outcome = rig.run(image)
    finally:
        if mounted:
            subprocess.run(["umount", rig.scratch], check=True)
    assert outcome["status"] == 0, outcome["events"]
    assert "without the store" in outcome["events"]
    assert outcome["downloaded_bytes"] == image.bytes


def test_the_budget_holds_and_the_oldest_goes(rig: Rig) -> None:
    images = [rig.push(f"image-{number}", 12 * MB, seed=100 * number) for number in range(3)]
    own = rig.directory / "small-budget.iso"
    shutil.copy(rig.iso, own)
    assert call("customize", own, "--set", "STORE_BUDGET_MB=30").returncode == 0
    rig.iso = own
    for image in images:
        outcome = rig.run(image)
        assert outcome["status"] == 0, outcome["events"]
    assert sum(path.stat().st_size for path in rig.layer_files()) <= 30 * 1_000_000
    assert rig.run(images[2])["downloaded_bytes"] == 0
    assert rig.run(images[0])["downloaded_bytes"] > 0


def test_a_registry_that_is_gone_is_named_and_tried_again_later(rig: Rig) -> None:
    image = rig.push("gone", 3 * MB)
    machine = rig.start(image)
    machine.until(machine.said("agent"), "the agent")
    for blob in (rig.directory / "registry" / "data").rglob("data"):
        if blob.stat().st_size > MB:
            blob.unlink()
    outcome = machine.process.wait(timeout=900)
    assert outcome == 1
    assert "sha256:" in machine.events()
    assert "Traceback" not in machine.events()


def test_an_image_larger_than_memory_runs_from_a_data_disk(rig: Rig) -> None:
    """Two gigabytes unpacked, in a machine of one. The layer compresses well, as emulation unpacks slowly."""
    image = rig.push_layers("large", [busybox_layer(), zeros_layer(2048 * MB)])
    script = "ls -l /large | grep -q 2147483648 && echo complete > /root/shared/results/out.txt"
    outcome = rig.run(image, "--memory", "1GB", "--disk", "8GB", script=script)
    assert outcome["status"] == 0, outcome["events"]
    assert (Path(outcome["results"]) / "out.txt").read_text() == "complete\n"
