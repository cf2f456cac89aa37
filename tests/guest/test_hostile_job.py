"""A job that is against its machine: from its directory it changes nothing of the agent's, now or at the next boot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from boinc2docker.job.inputs import Input
from boinc2docker.job.shipment import ship
from tests.guest.machine import Machine, engine_socket
from tests.guest.test_agent import HEADER

EVIL = 'echo taken >>"$STUB/taken"'
# What a container can do in its directory with the names it knows from the agent's own files.
ATTACKS = {
    "append": f"for name in $names; do printf '\\n{EVIL}\\nexit 0\\n' >>\"$name\"; done",
    "replace": f'for name in $names; do rm -rf "$name"; printf \'#!/bin/sh\\n{EVIL}\\n\' >"$name"; done',
    "link": 'for name in $names; do rm -rf "$name"; ln -s "$STUB/victim" "$name"; done',
    "directory": 'for name in $names; do rm -rf "$name"; mkdir -p "$name/x"; done',
}
NAMES = (
    "boinc_app completion_trigger_file completion_trigger_file.part temporary_exit_trigger_file heartbeat image "
    "results.tgz results.tgz.part boinc_log.tgz init_data.xml .boinc2docker progress job inputs unpacked"
)


def shell_words(names: str, attack: str) -> str:
    return f'cd "$B2D_JOB"\nnames="{names}"\n{ATTACKS[attack]}\n'


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_container_does_in_its_directory_reaches_nothing(machine: Machine, attack: str) -> None:
    (machine.stub / "victim").write_text("mine\n")
    (machine.share / "heartbeat").write_text(" " * 20 + "\n")
    machine.job(HEADER + machine.image(b"x") + "job_run -- true\n")
    before = (machine.share / "boinc_app").read_bytes()
    container = shell_words(NAMES, attack) + 'echo good >"$B2D_JOB/results/out"\nexit 3\n'
    (machine.stub / "container").write_text(container)
    for _ in range(2):
        assert machine.run_job() == (3, "the container ended with exit code 3")
        assert not (machine.stub / "taken").exists()
        assert (machine.stub / "victim").read_text() == "mine\n"
        assert (machine.share / "boinc_app").read_bytes() == before
        assert machine.archive("results.tgz") == {"out": b"good\n"}
        machine.completion.unlink()
        machine.power_on()


def test_the_running_script_is_no_file_of_the_shares(machine: Machine) -> None:
    """A shell reads its script while it runs: on 9p and vboxsf somebody on the host could go on writing it."""
    machine.job(f"printf '\\n{EVIL}\\n' >>\"$B2D_SHARE/boinc_app\"\nexit 4\n")
    assert machine.run_job()[0] == 4
    machine.job(f"printf '\\n{EVIL}\\n' >>\"$B2D_SHARE/boinc_app\"\n")
    machine.completion.unlink()
    machine.power_on()
    assert machine.run_job()[0] == 0
    assert not (machine.stub / "taken").exists()


@pytest.mark.parametrize(
    "instead",
    ["ln -s /etc results", "echo x >results", 'ln -s "$STUB" results', "mkfifo results", "ln -s /nowhere results"],
)
def test_results_that_are_no_directory_are_refused(machine: Machine, instead: str) -> None:
    machine.job(HEADER + machine.image(b"x") + "job_run -- true\n")
    (machine.stub / "container").write_text(f'cd "$B2D_JOB" && rmdir results && {instead}\n')
    for _ in range(2):
        said = "/root/shared/results is not a directory: the job replaced it"
        assert machine.run_job() == (1, said)
        assert machine.record()["failed_phase"] == "results"
        assert not (machine.share / "results.tgz").exists()
        machine.completion.unlink()
        machine.power_on()


def archive(machine: Machine) -> bytes:
    source = machine.root / "data"
    source.mkdir()
    (source / "one").write_bytes(b"1")
    return ship(Input(source, "data"), machine.root).content.read_bytes()


@pytest.fixture
def unpacking(machine: Machine) -> Machine:
    """A machine with a directory to unpack, where /etc would be a directory of the machine's."""
    (machine.share / ".boinc2docker").mkdir()
    (machine.share / ".boinc2docker" / "input.tgz").write_bytes(archive(machine))
    (machine.stub / "etc" / "data").mkdir(parents=True)
    (machine.stub / "etc" / "data" / "passwd").write_text("root\n")
    return machine


@pytest.mark.parametrize(
    "trick",
    [
        "rm -rf data",
        'rm -rf data; ln -s "$STUB/etc/data" data',
        "rm -rf .boinc2docker; mkdir .boinc2docker; echo x >.boinc2docker/input.tgz; rm -rf data",
        "rm -rf unpacked inputs; echo data >unpacked; echo changed >data/one",
    ],
)
def test_a_directory_is_not_unpacked_again_whatever_stands_in_its_place(unpacking: Machine, trick: str) -> None:
    machine = unpacking
    machine.job(HEADER + "job_unpack .boinc2docker/input.tgz data\n" + machine.image(b"x") + "job_run -- true\n")
    (machine.stub / "container").write_text(f'cd "$B2D_JOB" && {trick}\n')
    for _ in range(2):
        assert machine.run_job() == (0, "")
        machine.completion.unlink()
        machine.power_on()
    assert machine.log().count("unpacking data") == 1
    assert (machine.stub / "etc" / "data" / "passwd").read_text() == "root\n"
    assert not (machine.stub / "etc" / "data" / "one").exists()


def test_a_directory_is_not_unpacked_through_a_link_of_the_job(unpacking: Machine) -> None:
    """A hand-written job may run a container first."""
    machine = unpacking
    lines = machine.image(b"x") + "job_run -- true\njob_unpack .boinc2docker/input.tgz sub/data\n"
    machine.job(HEADER + lines)
    (machine.stub / "container").write_text('ln -s "$STUB/etc" "$B2D_JOB/sub"\n')
    assert machine.run_job() == (1, "the input sub/data cannot be unpacked: a link is in its way")
    assert [path.name for path in (machine.stub / "etc" / "data").iterdir()] == ["passwd"]


def test_containers_that_the_job_left_running_go_before_its_results_are_packed(machine: Machine) -> None:
    (machine.stub / "left-running").write_text("ccc\n")
    machine.job("docker start --attach x\n")
    (machine.stub / "container").write_text('echo 1 >"$B2D_JOB/results/out"\n')
    assert machine.run_job() == (0, "")
    assert (machine.stub / "removed").read_text() == "rm -f ccc\n"
    log = machine.log()
    assert log.index("removing containers that the job has left running: ccc") < log.index("results results.tgz")


def test_a_power_cut_while_a_hostile_container_runs(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    (machine.stub / "victim").write_text("mine\n")
    machine.job(HEADER + machine.image(b"x") + "job_run -- true\n")
    container = shell_words(f"{NAMES} results", "link") + 'touch "$STUB/now"; sleep 100\n'
    (machine.stub / "container").write_text(container)
    with engine_socket(machine.root / "docker.sock"):
        machine.boot()
        machine.wait_for((machine.stub / "now").exists)
        machine.cut_power()
    (machine.root / "docker.sock").unlink()
    machine.power_on()
    (machine.stub / "container").write_text('echo good >"$B2D_JOB/results/out"\n')
    assert machine.run_job() == (0, "")
    assert (machine.stub / "victim").read_text() == "mine\n"
    assert machine.archive("results.tgz") == {"out": b"good\n"}
