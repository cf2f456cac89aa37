"""The store's protocol, explored: the real shell functions, several shells at once on one directory.

Every named point of the protocol (``store_point``) is a place where a machine can be stopped for any time (as BOINC
pauses machines), lose its power, or let others go first; beating is a step of its own, so late heartbeats are explored.
Somebody on the host may have a file open that is to be renamed or removed.
After every step: final names hold verified bytes only; of no layer has more been sent than once, plus a chunk for each
power cut and each take-over; layers a running machine uses are there. At the end every machine that was not killed has
its image, and has left neither lock nor mark.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.guest.blob_server import serving
from tests.guest.stepped import LAYERS, Stepped, World


class Store(RuleBasedStateMachine):
    """Up to three machines, two images that share a layer; the budget is ample, or holds one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.world: World

    @initialize(
        seed=st.integers(1, 2**32),
        budget=st.sampled_from([10**9, 5600]),
        shell=st.sampled_from(["dash", "dash", "bash", "busybox"]),
    )
    def begin(self, seed: int, budget: int, shell: str) -> None:
        root = Path(tempfile.mkdtemp(prefix="store-"))
        self.open.callback(shutil.rmtree, root, ignore_errors=True)
        self.world = World(root, self.open.enter_context(serving()), shell, budget)
        self.open.callback(self.world.close)
        self.bursts(seed)

    @rule(other=st.booleans(), steps=st.integers(0, 48))
    def start(self, other: bool, steps: int) -> None:
        """One more, up to four; it stops on its way."""
        if len(self.world.machines) < 4:
            self._go(self.world.start(LAYERS[1:] if other else LAYERS[:2]), steps)

    @rule(seed=st.integers(1, 2**32))
    def bursts(self, seed: int) -> None:
        """Somebody goes on alone, some steps or many, while all others stand still; then somebody else.

        Hypothesis likes simple values and short runs; a schedule is to be anything.
        """
        chance = random.Random(seed)
        while len(self.world.machines) < 3:
            self._go(self.world.start(LAYERS[1:] if chance.random() < 0.3 else LAYERS[:2]), chance.randrange(45))
        for _ in range(6):
            if machine := self._machine(chance.randrange(4)):
                if chance.random() < 0.3:
                    machine.beat()
                if chance.random() < 0.3:
                    machine.refuse()
                self._go(machine, chance.choice([1, 2, 3, 5, 8, 20, 45, 90]))

    @rule(number=st.integers(0, 3))
    def go_to_the_end(self, number: int) -> None:
        """Alone: whatever others had begun is taken over, and they wake up afterwards."""
        if machine := self._machine(number):
            self._go(machine, 300)

    @rule(first=st.integers(0, 3), second=st.integers(0, 3), steps=st.integers(5, 40))
    def go_on_together(self, first: int, second: int, steps: int) -> None:
        for _ in range(steps):
            for number in {first, second}:
                if machine := self._machine(number):
                    machine.beat()
                    machine.step()
                    self.world.check()

    @rule(number=st.integers(0, 3))
    def beat(self, number: int) -> None:
        if machine := self._machine(number):
            machine.beat()

    @rule(number=st.integers(0, 3))
    def refuse(self, number: int) -> None:
        if machine := self._machine(number):
            machine.refuse()

    @rule(number=st.integers(0, 3))
    def cut_power(self, number: int) -> None:
        machine = self._machine(number)
        if machine and self.world.trouble["kills"] < 2:
            self.world.kill(machine)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        with self.open:
            if hasattr(self, "world"):
                self.world.finish()

    def _go(self, machine: Stepped, steps: int) -> None:
        for _ in range(steps):
            if not machine.alive:
                break
            machine.step()
            self.world.check()

    def _machine(self, number: int) -> Stepped | None:
        alive = [machine for machine in self.world.machines if machine.alive]
        return alive[number % len(alive)] if alive else None


def explore(examples: int, steps: int, *, same: bool = False) -> None:
    run_state_machine_as_test(
        Store,
        settings=settings(
            max_examples=examples,
            derandomize=same,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_some_schedules() -> None:
    """The same ones each time: a change is judged by what it changed."""
    explore(8, 12, same=True)


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_many_random_schedules() -> None:
    explore(200, 20)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving() as server:
        made = World(tmp_path / "world", server)
        made.root.mkdir()
        yield made
        made.close()


def run_to_the_end(world: World, machine: Stepped) -> None:
    for _ in range(600):
        if not machine.alive:
            break
        machine.beat()
        machine.step()
        world.check()
    assert machine.status == 0, world.logs()


MOST_POINTS = 52
"""More than a machine passes with two layers of three chunks and of two."""


def interrupt(world: World, point: int, end: str) -> Stepped:
    """A machine stops at this point of its way, and another has its image meanwhile."""
    first = world.start(LAYERS[:2])
    for _ in range(point):
        first.step()
    if not first.alive:
        pytest.skip("the way is shorter")
    if end == "killed":
        world.kill(first)
    second = world.start(LAYERS[:2])
    run_to_the_end(world, second)
    return first


@pytest.mark.parametrize(
    ("point", "end"),
    [
        pytest.param(point, end, marks=() if (point + 3 * (end == "killed")) % 6 == 0 else pytest.mark.exhaustive)
        for point in range(MOST_POINTS)
        for end in ("killed", "paused")
    ],
)
def test_one_interruption_anywhere(world: World, point: int, end: str) -> None:
    interrupt(world, point, end)
    world.finish()


@pytest.mark.exhaustive
@pytest.mark.parametrize(("point", "later"), [*itertools.product(range(0, 48, 4), range(1, 48, 6))])
def test_two_pauses_anywhere(world: World, point: int, later: int) -> None:
    """The second machine is paused, too, after it has believed the first one dead; then the first one wakes up."""
    first = world.start(LAYERS[:2])
    for _ in range(point):
        first.step()
    second = world.start(LAYERS[:2])
    for _ in range(later + 35):
        second.step()
        world.check()
    for machine in (first, second):
        for _ in range(80):
            machine.step()
            world.check()
    world.finish()


def go_to(machine: Stepped, point: str) -> None:
    for _ in range(300):
        if machine.point == point or not machine.alive:
            break
        machine.step()


@pytest.mark.parametrize(
    ("stop", "until"),
    [
        ("lock-made", "append"),  # two in one lock
        ("lock-named", "append"),
        ("try", "ended"),  # the layer comes between the look and the lock
        ("chunk", "append"),  # both fetch the same layer
        ("chunk-now", "ended"),
        ("commit-now", "append"),
        ("lock-nameless", "chunk"),
        ("committed", "loading"),
    ],
)
def test_the_places_where_a_wrong_step_would_cost_most(world: World, stop: str, until: str) -> None:
    """One layer, so that both machines meet there; the first sleeps at one point, the second at another."""
    first = world.start(LAYERS[:1])
    go_to(first, stop)
    assert first.point == stop
    second = world.start(LAYERS[:1])
    go_to(second, until)
    for machine in (first, second):
        for _ in range(300):
            machine.step()
            world.check()
    world.finish()


def test_a_whole_layer_from_a_server_without_ranges_stops_at_a_takeover(world: World) -> None:
    """Its lock is looked at before each chunk is kept, although the server sends everything at once."""
    world.server.always = "no-range"
    first = world.start(LAYERS[:1])
    go_to(first, "append")
    second = world.start(LAYERS[:1])
    go_to(second, "ended")
    partial = world.store / "partial"
    assert not list(partial.iterdir())
    first.step()
    assert not list(partial.iterdir()), world.logs()
    world.finish()
    assert "was taken over by another machine" in first.log()
    assert first.log().count("fetched") == 0


def test_what_a_sleeping_machine_still_writes_is_no_reason_to_leave_the_store(world: World) -> None:
    """It wakes up in the middle of a layer whose download, its own file included, is somebody else's history."""
    first = world.start(LAYERS[:1])
    go_to(first, "append")
    first.step()
    go_to(first, "append")  # its second chunk
    second = world.start(LAYERS[:1])
    run_to_the_end(world, second)
    go_to(first, "look")
    assert not list((world.store / "partial").iterdir()), world.logs()
    world.finish()


@pytest.mark.parametrize("ranges", [True, False])
def test_what_was_removed_while_a_machine_stood_still_is_fetched_again_into_the_store(
    world: World, *, ranges: bool
) -> None:
    """The budget is small, and the machine seems dead with its lock: what it wrote goes; it wakes up with a chunk."""
    world.server.always = "" if ranges else "no-range"
    world.budget = 3500
    first = world.start(LAYERS[:1])
    for _ in range(2):
        first.step()
        go_to(first, "append")
    second = world.start(LAYERS[1:])
    while second.alive:  # without a beat: it does not tidy, and the first one's lock stays
        second.step()
        world.check()
    assert f"removed partial sha256:{hashlib.sha256(LAYERS[0]).hexdigest()[:12]}" in second.log()
    world.finish()
    assert "the partial download was removed while this machine stood still, again in 0 s" in first.log()
    assert "working without the store" not in first.log()
