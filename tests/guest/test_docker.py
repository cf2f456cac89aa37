"""A Docker that does not answer: the job comes back later, and no question to it takes for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.guest.machine import Machine
from tests.guest.small_disk import small_disk
from tests.guest.test_agent import HEADER


def test_a_docker_that_never_answers_postpones_the_job_each_time_for_longer(machine: Machine) -> None:
    machine.environment["B2D_DOCKER_WAIT"] = "1"
    machine.job('echo ran >>"$STUB/ran"\n')
    trigger = machine.share / "temporary_exit_trigger_file"
    for seconds in (600, 900):
        machine.boot()
        said = f"temporary exit, again in {seconds} s"
        machine.wait_for(lambda said=said: said in machine.log() and trigger.exists())  # type: ignore[misc]
        message = "Docker did not answer within 1 seconds: this host is too busy, or the machine has too little memory"
        assert trigger.read_text() == f"{seconds}\n1\n{message}"
        assert machine.record()["exit_code"] == 75
        assert machine.record()["failed_phase"] == "boot"
        assert not machine.completion.exists()
        machine.cut_power()
        machine.power_on()
    machine.environment["B2D_DOCKER_WAIT"] = "60"
    assert machine.run_job() == (0, "")
    assert (machine.stub / "ran").read_text() == "ran\n"
    assert not trigger.exists()
    assert machine.record()["boots"] == 3


def test_a_machine_restored_after_its_temporary_exit_does_the_job(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    machine.environment |= {"B2D_DOCKER_WAIT": "1", "B2D_POSTPONED_SECONDS": "0"}
    machine.job("exit 0\n")
    trigger = machine.share / "temporary_exit_trigger_file"
    machine.boot()
    machine.wait_for(trigger.exists)
    trigger.unlink()
    machine.wait_for(lambda: "restored after a temporary exit" in machine.log())
    machine.wait_for(lambda: "again in 900 s" in machine.log() and trigger.exists())


@pytest.mark.parametrize("verb", ["ps", "rm", "inspect", "cp"])
def test_a_question_that_hangs_is_given_up_and_the_job_goes_on(machine: Machine, verb: str) -> None:
    machine.environment["B2D_DOCKER_CALL"] = "1"
    (machine.stub / f"hangs-{verb}").touch()
    (machine.stub / "old-containers").write_text("aaa\n")
    (machine.stub / "user").write_text("1000")
    machine.job(HEADER + machine.image(b"x") + "job_run -- true\n")
    (machine.stub / "container").write_text("exit 6\n")
    started = time.monotonic()
    assert machine.run_job() == (6, "the container ended with exit code 6")
    assert time.monotonic() - started < 25


def test_a_container_that_is_never_made_is_given_up(machine: Machine) -> None:
    machine.environment["B2D_DOCKER_CALL"] = "1"
    (machine.stub / "hangs-create").touch()
    machine.job(HEADER + machine.image(b"x") + "job_run -- true\n")
    assert machine.run_job() == (125, "Docker did not make the container within 1 seconds")


def test_a_full_disk_of_the_machine_is_told_with_what_to_do(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    machine.job(HEADER + machine.image(b"x") + "job_run -- true\n")
    (machine.stub / "container").write_text('head -c 9000000 /dev/zero >"$B2D_JOB/large" || exit 5\n')
    with small_disk(machine.work, "4m"):
        code, message = machine.run_job()
    assert code == 5
    said = "the machine's disk is full: the job needs more room for what it writes (--disk)"
    assert message.startswith(f"the container ended with exit code 5; {said}")


@pytest.mark.parametrize(("said", "seconds"), [("3", 3), ("3\n", 3), ("x", 1), ("-3", 1), ("2222", 1), ("1;id", 1)])
def test_a_slow_hosts_patience_is_dockers(make: Callable[[str], Machine], said: str, seconds: int) -> None:
    machine = make("busybox")
    machine.environment |= {"B2D_DOCKER_WAIT": "1", "B2D_POSTPONED_SECONDS": "0"}
    (machine.share / ".boinc2docker").mkdir()
    (machine.share / ".boinc2docker" / "patience").write_text(said)
    machine.job("exit 0\n")
    machine.boot()
    machine.wait_for((machine.share / "temporary_exit_trigger_file").exists)
    assert f"Docker did not answer within {seconds} seconds" in machine.log()
