"""The store's protocol, explored: the real shell functions, several shells at once on one directory.

Every named point of the protocol (``store_point``) is a place where a machine can be stopped for any time (as BOINC
pauses machines), lose its power, or let others go first; beating is a step of its own, so late heartbeats are explored.
After every step: final names hold verified bytes only; of no layer has more been sent than once, plus a chunk for each
power cut and each take-over; layers a running machine uses are there. At the end every machine that was not killed has
its image, and has left neither lock nor mark.
"""

from __future__ import annotations

import itertools
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
    precondition,
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
        budget=st.sampled_from([10**9, 10**9, 4600]), shell=st.sampled_from(["dash", "dash", "bash", "busybox"])
    )
    def begin(self, budget: int, shell: str) -> None:
        root = Path(tempfile.mkdtemp(prefix="store-"))
        self.open.callback(shutil.rmtree, root, ignore_errors=True)
        self.world = World(root, self.open.enter_context(serving()), shell, budget)
        self.open.callback(self.world.close)
        self.world.start(LAYERS[:2])

    @precondition(lambda self: len(self.world.machines) < 4)
    @rule(other=st.booleans())
    def start(self, other: bool) -> None:
        self.world.start(LAYERS[1:] if other else LAYERS[:2])

    @rule(number=st.integers(0, 3), steps=st.integers(1, 40))
    def go_on(self, number: int, steps: int) -> None:
        """Alone, while all others stand still: a waiting machine believes them dead after 30 steps."""
        if machine := self._machine(number):
            for _ in range(steps):
                machine.step()
                self.world.check()

    @rule(first=st.integers(0, 3), second=st.integers(0, 3), steps=st.integers(1, 25))
    def go_on_together(self, first: int, second: int, steps: int) -> None:
        for _ in range(steps):
            for number in {first, second}:
                if machine := self._machine(number):
                    machine.beat()
                    machine.step()

    @rule(number=st.integers(0, 3))
    def beat(self, number: int) -> None:
        if machine := self._machine(number):
            machine.beat()

    @precondition(lambda self: self.world.trouble["kills"] < 2)
    @rule(number=st.integers(0, 3))
    def cut_power(self, number: int) -> None:
        if machine := self._machine(number):
            self.world.kill(machine)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        with self.open:
            if hasattr(self, "world"):
                self.world.finish()

    def _machine(self, number: int) -> Stepped | None:
        alive = [machine for machine in self.world.machines if machine.alive]
        return alive[number % len(alive)] if alive else None


def explore(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Store,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_random_schedules() -> None:
    explore(10, 12)


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
def test_many_random_schedules() -> None:
    explore(600, 25)


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
@pytest.mark.parametrize(("point", "later"), [*itertools.product(range(0, 48, 2), range(0, 48, 3))])
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
