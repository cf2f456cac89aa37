"""A machine that loses its power at any moment ends, at the next boots, as if nothing had happened."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.guest.machine import Machine, engine_socket
from tests.guest.test_agent import HEADER

# Three steps with a checkpoint after each; results/ is written once more after a cut, as by a real job.
CONTAINER = """
cd "$B2D_JOB"
n=$(cat checkpoint 2>/dev/null || echo 0)
while [ "$n" -lt 3 ]; do
    n=$((n + 1))
    echo "step $n" >"results/step$n"
    sleep 0.05
    echo "$n" >checkpoint.new && mv checkpoint.new checkpoint
done
exit 6
"""
JOB = "job_option keep-failed-results\n{image}job_run '--env' 'A=b' -- 'sh' '-c' 'x'\n"


def prepare(machine: Machine) -> None:
    machine.job(HEADER + JOB.format(image=machine.image(b"one", b"two")))
    (machine.stub / "container").write_text(CONTAINER)


def end(machine: Machine) -> tuple[bytes, str, dict[str, bytes]]:
    completion = machine.completion.read_text()
    assert not list(machine.share.glob("*.part"))
    assert machine.record()["exit_code"] == 6
    return (machine.share / "results.tgz").read_bytes(), completion, machine.archive("results.tgz")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("world", "disk"), [("busybox", True), ("dash", False)])
def test_cut_at_random_points(make: Callable[[str], Machine], world: str, seed: int, disk: bool) -> None:
    """Without a disk nothing but the share is left after a cut."""
    undisturbed = make(world)
    prepare(undisturbed)
    started = time.monotonic()
    undisturbed.run_job()
    length = time.monotonic() - started

    chance = random.Random(seed)
    machine = make(world)
    machine.disk = disk
    machine.power_on()
    prepare(machine)
    for _ in range(4):
        with engine_socket(machine.root / "docker.sock"):
            machine.boot()
            time.sleep(chance.uniform(0, length * 1.1))
            machine.cut_power()
        (machine.root / "docker.sock").unlink()
        if not disk or chance.random() < 0.5:  # without a data disk Docker's state is gone, too
            for path in machine.stub.glob("loaded-*"):
                path.unlink()
        machine.power_on()
    if machine.completion.exists():
        machine.boot()
        machine.wait_for(lambda: "reported before" in machine.log())
    else:
        machine.run_job()
    assert end(machine) == end(undisturbed)


def test_leftovers_of_an_earlier_boot_are_cleared(machine: Machine) -> None:
    prepare(machine)
    for name in ("results.tgz.part", "boinc_log.tgz.part", "completion_trigger_file.part", "results.tgz", "heartbeat"):
        (machine.share / name).write_text("stale")
    (machine.share / "temporary_exit_trigger_file").write_text("300\n1\nstale")
    (machine.share / "checkpoint").write_text("2\n")  # inputs, to this job
    (machine.share / "results").mkdir()
    (machine.share / "results" / "kept").write_text("x")
    assert machine.run_job() == (0, "the container ended with exit code 6")
    assert not list(machine.share.glob("*.part"))
    assert not (machine.share / "temporary_exit_trigger_file").exists()
    assert set(machine.archive("results.tgz")) == {"kept", "step3"}
