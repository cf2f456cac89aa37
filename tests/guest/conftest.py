"""Machines for the agent's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.blob_server import BlobServer, serving
from tests.guest.machine import WORLDS, Machine, engine_socket, everyday
from tests.guest.store_job import SHELLS, prepare


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


@pytest.fixture
def server() -> Iterator[BlobServer]:
    """A registry of blobs, for tests of the store."""
    with serving() as world:
        yield world


@pytest.fixture(params=everyday(SHELLS))
def shell(request: pytest.FixtureRequest) -> str:
    """Every shell for tests of the store, which need fewer worlds."""
    return str(request.param)


@pytest.fixture
def machines(make: Callable[[str], Machine], scratch: Path) -> Iterator[Callable[..., Machine]]:
    """Machines with this scratch and an engine each."""
    engines = []

    def machine(shell: str, shared: Path | None = scratch) -> Machine:
        made = make(shell)
        prepare(made, shared)
        engine = engine_socket(made.root / "docker.sock")
        engine.__enter__()
        engines.append(engine)
        return made

    yield machine
    for engine in engines:
        engine.__exit__(None, None, None)
