"""Machines for the agent's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.machine import WORLDS, Machine, everyday


@pytest.fixture(params=everyday(WORLDS))
def world(request: pytest.FixtureRequest) -> str:
    """Every shell and set of tools the agent is promised to run under."""
    return str(request.param)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """Makes machines; their processes end with the test."""
    machines: list[Machine] = []

    def make(world: str) -> Machine:
        machines.append(Machine(tmp_path / f"m{len(machines)}", world))
        return machines[-1]

    yield make
    for machine in machines:
        machine.cut_power()


@pytest.fixture
def machine(make: Callable[[str], Machine], world: str) -> Machine:
    return make(world)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The directory that machines of one project share."""
    return tmp_path / "scratch"
