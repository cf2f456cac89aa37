"""A job that cannot begin now asks its host for another try later, instead of failing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.guest.blob_server import BlobServer
from tests.guest.machine import Machine
from tests.guest.store_job import image, layer, write_job


@pytest.fixture
def machine(shell: str, machines: Callable[..., Machine]) -> Machine:
    return machines(shell)


def test_the_agent_leaves_for_later(machine: Machine, server: BlobServer) -> None:
    """A temporary exit: its file, no completion file, and at the next boot the job runs."""
    wanted = image(server, [layer("x", 900)])
    server.always = "503"
    write_job(machine, wanted)
    later = machine.share / "temporary_exit_trigger_file"
    machine.boot()
    machine.wait_for(later.exists)
    time.sleep(0.3)
    machine.cut_power()
    seconds, notice, message = later.read_text().split("\n")
    assert 0 < int(seconds) <= 86400
    assert notice == "1"
    assert "HTTP status 503" in message
    assert wanted.names[0] in message
    assert not machine.completion.exists()
    server.always = ""
    machine.power_on()
    machine.boot()
    machine.wait_for(machine.completion.exists)
    machine.cut_power()
    assert machine.completion.read_text().splitlines()[0] == "0"
    assert not later.exists()
    assert machine.record()["downloaded_bytes"] == wanted.size


def test_a_machine_restored_after_a_temporary_exit_does_the_job(machine: Machine, server: BlobServer) -> None:
    """vboxwrapper takes the request away, makes a snapshot, switches off; the machine wakes up in that snapshot."""
    wanted = image(server, [layer("x", 900)])
    server.always = "503"
    write_job(machine, wanted)
    machine.environment["B2D_POSTPONED_SECONDS"] = "0"
    later = machine.share / "temporary_exit_trigger_file"
    machine.boot()
    machine.wait_for(later.exists)
    server.always = ""
    later.unlink()
    machine.wait_for(machine.completion.exists)
    machine.cut_power()
    assert machine.completion.read_text().splitlines()[0] == "0"
    assert "restored after a temporary exit" in machine.log()
