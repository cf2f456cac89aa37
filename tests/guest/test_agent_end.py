"""How the agent ends, foreseen or not: its report, and the heartbeat that tells whether it lives."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.guest.machine import Machine, engine_socket
from tests.guest.scripts import HOME


def test_a_machine_whose_job_is_reported_only_shows_that_it_lives(machine: Machine) -> None:
    machine.job('echo ran >>"$B2D_JOB/ran"\n')
    machine.run_job()
    before = machine.completion.stat().st_mtime_ns
    machine.power_on()
    (machine.share / "heartbeat").unlink()
    machine.boot()
    machine.wait_for(lambda: "reported before" in machine.log())
    machine.wait_for((machine.share / "heartbeat").exists)
    assert (machine.work / "job" / "ran").read_text() == "ran\n"
    assert machine.completion.stat().st_mtime_ns == before


def test_switching_off_reports_nothing_and_stops_the_heartbeat(machine: Machine) -> None:
    machine.job('echo up >"$B2D_JOB/up"; sleep 1000\n')
    with engine_socket(machine.root / "docker.sock"):
        machine.boot()
        machine.wait_for((machine.work / "job" / "up").exists)
        assert machine.process is not None
        machine.process.send_signal(signal.SIGTERM)
        assert machine.process.wait(10) == 143
    assert not machine.completion.exists()
    (machine.share / "heartbeat").unlink()
    time.sleep(1.5)
    assert not (machine.share / "heartbeat").exists()


def test_the_heartbeat_goes_on_after_the_report_and_ends_with_the_agent(machine: Machine) -> None:
    machine.job("exit 0\n")
    heartbeat = machine.share / "heartbeat"
    with engine_socket(machine.root / "docker.sock"):
        machine.boot()
        machine.wait_for(machine.completion.exists)
    heartbeat.unlink()
    machine.wait_for(heartbeat.exists)
    assert machine.process is not None
    machine.process.kill()
    machine.process.wait()
    time.sleep(1.5)
    heartbeat.unlink()
    time.sleep(1.5)
    assert not heartbeat.exists()


def test_an_end_nobody_foresaw_is_reported(machine: Machine) -> None:
    (machine.root / "home").mkdir()
    for path in HOME.iterdir():
        (machine.root / "home" / path.name).symlink_to(path)
    (machine.root / "home" / "lib").unlink()
    (machine.root / "home" / "lib").mkdir()
    for path in (HOME / "lib").iterdir():
        (machine.root / "home" / "lib" / path.name).symlink_to(path)
    (machine.root / "home" / "lib" / "run.sh").unlink()
    (machine.root / "home" / "lib" / "run.sh").write_text('run_job() { echo "$NOT_SET"; }\n')
    machine.environment["B2D_HOME"] = str(machine.root / "home")
    code, message = machine.run_job()
    assert code == 1
    assert message.startswith("the agent ended unexpectedly in phase run")
    assert machine.record()["message"] == message


def test_without_shared_the_agent_gives_up_and_no_heartbeat_appears(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    (machine.stub / "no-shared").touch()
    machine.boot()
    assert machine.process is not None
    assert machine.process.wait(30) == 1
    assert "shared cannot be mounted" in machine.log()
    assert not (machine.share / "heartbeat").exists()


def test_a_report_that_cannot_be_written_is_tried_again_with_more_room(machine: Machine) -> None:
    (machine.share / "boinc_log.tgz").touch()
    script = "n=0; report_place() { n=$((n + 1)); [ $n -gt 2 ]; }; report_complete 0 text && echo $n"
    assert machine.sh(script, parts="report") == b"3\n"
    assert not (machine.share / "boinc_log.tgz").exists()
