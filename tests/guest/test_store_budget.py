"""The store's budget: what is kept, what goes first, and what running machines need stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.blob_server import BlobServer
from tests.guest.machine import Machine
from tests.guest.store_job import (
    StoredImage,
    forget,
    image,
    layer,
    run,
    sources,
    start,
    store,
    stored,
    whole,
    write_job,
)


@pytest.fixture
def machine(shell: str, machines: Callable[..., Machine]) -> Machine:
    return machines(shell)


def with_budget(machine: Machine, bytes_: int) -> str:
    """A job's line that sets the budget in bytes: megabytes are too coarse here."""
    return f"budget_bytes() {{ echo {bytes_}; }}\nstore_pause() {{ sleep 0.2; }}\nSEEN_STILL_SECONDS=2\n"


def test_the_least_recently_used_goes_first(machine: Machine, server: BlobServer, scratch: Path) -> None:
    images = [image(server, [layer("base", 5000), layer(number, 9000)]) for number in range(4)]
    budget = 5000 + 2 * 9000 + 500
    for wanted in (images[0], images[1], images[0], images[2]):
        forget(machine)
        assert run(machine, wanted, with_budget(machine, budget)) == 0, machine.output()
        assert sum(map(len, stored(scratch).values())) <= budget
    assert sorted(stored(scratch)) == sorted({*images[0].names, *images[2].names})
    assert "removed sha256:" + images[1].names[1][:12] in machine.log()
    assert not (store(scratch) / "used" / images[1].names[1]).exists()
    whole(scratch)


def test_a_smaller_budget_is_kept_although_nothing_is_fetched(
    machine: Machine, server: BlobServer, scratch: Path
) -> None:
    first, second = (image(server, [layer("base", 5000), layer(name, 9000)]) for name in "xy")
    assert run(machine, second) == run(machine, first) == 0
    forget(machine)
    assert run(machine, first, with_budget(machine, 12000)) == 0, machine.output()
    assert sources(machine) == ["store", "store"]
    assert sorted(stored(scratch)) == sorted(first.names)
    assert "removed sha256:" + second.names[1][:12] in machine.log()


def test_an_image_larger_than_the_budget_is_not_stored(machine: Machine, server: BlobServer, scratch: Path) -> None:
    wanted = image(server, [layer("x", 9000), layer("y", 9000)])
    assert run(machine, wanted, with_budget(machine, 12000)) == 0, machine.output()
    assert "working without the store: its budget of 0.0 MB is in use" in machine.log()
    assert stored(scratch) == {}


def test_a_running_machines_layers_stay(
    machines: Callable[..., Machine], shell: str, server: BlobServer, scratch: Path
) -> None:
    first, second = image(server, [layer("x", 9000)]), image(server, [layer("y", 9000)])
    running, other = machines(shell), machines(shell)
    (running.stub / "container").write_text(f"while [ ! -e {running.stub}/enough ]; do sleep 0.1; done\n")
    write_job(running, first)
    process = start(running)
    running.wait_for(lambda: "container started" in running.log())
    assert run(other, second, with_budget(other, 12000)) == 0, other.output()
    assert list(stored(scratch)) == first.names
    assert "working without the store: its budget" in other.log()
    (running.stub / "enough").touch()
    assert process.wait(30) == 0
    forget(other)
    assert run(other, second, with_budget(other, 12000)) == 0, other.output()
    assert list(stored(scratch)) == second.names


def test_a_dead_machines_mark_does_not_keep_its_layers(machine: Machine, server: BlobServer, scratch: Path) -> None:
    first, second = image(server, [layer("x", 9000)]), image(server, [layer("y", 9000)])
    assert run(machine, first) == 0
    mark = store(scratch) / "used" / "running.0000-dead"
    mark.write_text(f"beat beat 9 12.00\n{first.names[0]} 9000\n")
    assert run(machine, second, with_budget(machine, 12000)) == 0, machine.output()
    assert list(stored(scratch)) == second.names
    assert not mark.exists()
    assert "over its budget: checking which machines still run" in machine.log()


LOOK = """
mkdir -p "$B2D_RUN/seen" "$1/used"
STORE_HOST=$1 STORE_VM=me
mark() { printf 'beat beat %s 1.00\\n' "$2" >"$STORE_HOST/used/running.$1"; }
look() { printf '%s.00 0\\n' "$1" >"$B2D_BOOTED"; if budget_look; then echo sure; else echo unsure; fi; }
look 0
mark me 1
look 1
mark living 1
mark dead 1
look 2
mark living 2
look 20
look 40
mark living 3
look 60
look 80
ls "$1/used"
"""


def test_a_look_succeeds_once_it_is_sure_of_every_mark(machine: Machine, tmp_path: Path) -> None:
    """A mark that changed is a living machine's; one that stood still for a minute goes."""
    machine.environment["B2D_BOOTED"] = str(machine.root / "clock")
    seen = machine.sh(LOOK, str(tmp_path / "v1"), parts="budget").decode().split()
    assert seen == ["sure", "sure", "unsure", "unsure", "unsure", "unsure", "sure", "running.living", "running.me"]


def test_use_is_noted_for_the_host(machine: Machine, server: BlobServer, scratch: Path) -> None:
    for name in ("b:1", "a:2", "b:1"):
        wanted = image(server, [layer("x", 900)])
        lines = wanted.lines.replace("python:3-slim", name)
        forget(machine)
        assert run(machine, StoredImage(wanted.layers, wanted.config, lines)) == 0
    used = store(scratch) / "used" / wanted.names[0]
    assert used.read_text() == "tick 3\nb:1\na:2\n"


@pytest.mark.parametrize("text", ["", "0", "12", "x", "-5", "99999999999999", "1.5", "08000", "010000", "00"])
def test_the_budget_of_the_site(machine: Machine, text: str) -> None:
    machine.environment["SITE_STORE_BUDGET_MB"] = text
    found = int(machine.sh("budget_bytes", parts="budget"))
    assert found == {"0": 0, "12": 12_000_000, "08000": 8_000_000_000, "00": 0}.get(text, 10_000_000_000)
