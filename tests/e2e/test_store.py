"""The image store in real machines against a real registry, whose own log says how many bytes it sent.

The first two tests run always. The fault matrix (``--exhaustive``) cuts power, pauses, damages and fills.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import call, needs
from tests.e2e.images import busybox_layer
from tests.e2e.store_rig import MB, Machine, Pushed, Rig, zeros_layer
from tests.work.real_registry import running_registry

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400)]

CHUNK = 8 * MB
CONFIG = 1000
"""The registry also sends the small config, to the submitter: a few hundred bytes a job."""


@pytest.fixture
def rig(iso: Path, tmp_path: Path) -> Iterator[Rig]:
    needs("qemu-system-x86_64", "docker-registry")
    with running_registry(tmp_path / "registry") as registry:
        made = Rig(tmp_path, registry, iso)
        try:
            yield made
        finally:
            made.stop()


def layer_files(rig: Rig) -> list[Path]:
    return sorted((rig.store / "layers" / "sha256").iterdir())


def test_cold_warm_and_a_shared_base(rig: Rig, record_property: Callable[[str, object], None]) -> None:
    """Cold downloads everything once, warm nothing, an image on the same base only the difference."""
    first = rig.push("first", 12 * MB, 3 * MB)
    second = rig.push("second", 12 * MB, 3 * MB, 2 * MB)
    with rig.counting() as sent:
        cold = rig.run(first)
    assert cold["status"] == 0, cold["events"]
    assert first.bytes <= sent[0] <= first.bytes + CONFIG
    assert cold["downloaded_bytes"] == first.bytes
    assert {path.name for path in layer_files(rig)} == {path.name for path in layer_files(rig) if path.stat().st_size}

    with rig.counting() as sent:
        warm = rig.run(first)
    assert warm["status"] == 0, warm["events"]
    assert sent[0] <= CONFIG
    assert warm["downloaded_bytes"] == 0
    assert warm["reused_bytes"] == first.bytes

    def to_container(outcome: dict[str, dict[str, float]]) -> float:
        return outcome["phases"]["run"] - outcome["phases"]["docker"]

    print(f"Docker ready to container: cold {to_container(cold):.1f} s, warm {to_container(warm):.1f} s")
    record_property("cold_seconds", to_container(cold))
    record_property("warm_seconds", to_container(warm))
    assert to_container(warm) < to_container(cold)

    with rig.counting() as sent:
        shared = rig.run(second)
    assert shared["status"] == 0, shared["events"]
    assert len(second.layers[-1]) <= sent[0] <= len(second.layers[-1]) + CONFIG
    assert shared["reused_bytes"] == first.bytes


def test_three_machines_share_one_download(rig: Rig) -> None:
    image = rig.push("together", 9 * MB, 5 * MB, 2 * MB)
    with rig.counting() as sent:
        machines = [rig.start(image, "--memory", "1GB") for _ in range(3)]
        outcomes = [machine.end() for machine in machines]
    assert [outcome["status"] for outcome in outcomes] == [0, 0, 0], [outcome["events"] for outcome in outcomes]
    assert sum(outcome["downloaded_bytes"] for outcome in outcomes) == image.bytes
    assert image.bytes <= sent[0] <= image.bytes + 3 * CONFIG
    assert not list((rig.store / "locks").iterdir())


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
        "renaming": lambda: len(layer_files(rig)) == 1,
        "loading": machine.said("MB needed"),
        "running": machine.said("container started"),
        "results": machine.said("container exit"),
    }
    machine.until(conditions[phase], phase)


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
def test_damage_is_found_set_aside_and_fetched_once_more(rig: Rig) -> None:
    """Flipped, cut, emptied, swapped and unreadable layers, and rubbish in every folder of the store, all at once."""
    image = rig.push("damage", 2 * MB, 2 * MB + 1, 2 * MB + 2, 2 * MB + 3, 2 * MB + 4)
    assert rig.run(image)["status"] == 0
    flipped, cut, empty, swapped, unreadable, _ = layer_files(rig)
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


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
def test_the_budget_holds_and_the_oldest_goes(rig: Rig) -> None:
    images = [rig.push(f"image-{number}", 12 * MB, seed=100 * number) for number in range(3)]
    own = rig.directory / "small-budget.iso"
    shutil.copy(rig.iso, own)
    assert call("customize", own, "--set", "STORE_BUDGET_MB=30").returncode == 0
    rig.iso = own
    for image in images:
        outcome = rig.run(image)
        assert outcome["status"] == 0, outcome["events"]
    assert sum(path.stat().st_size for path in layer_files(rig)) <= 30 * 1_000_000
    assert rig.run(images[2])["downloaded_bytes"] == 0
    assert rig.run(images[0])["downloaded_bytes"] > 0


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
def test_an_image_larger_than_memory_runs_from_a_data_disk(rig: Rig) -> None:
    """Two gigabytes unpacked, in a machine of one. The layer compresses well, as emulation unpacks slowly."""
    image = rig.push_layers("large", [busybox_layer(), zeros_layer(2048 * MB)])
    script = "ls -l /large | grep -q 2147483648 && echo complete > /root/shared/results/out.txt"
    outcome = rig.run(image, "--memory", "1GB", "--disk", "8GB", script=script)
    assert outcome["status"] == 0, outcome["events"]
    assert (Path(outcome["results"]) / "out.txt").read_text() == "complete\n"
