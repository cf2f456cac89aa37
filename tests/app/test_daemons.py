"""Daemons of several apps side by side, started as BOINC's ``start`` starts them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker.app import daemons
from boinc2docker.app.package import Options, package_app
from boinc2docker.project import xml_text
from tests.app import boinc_start

BEFORE = """\
        <daemon>
            <cmd>script_validator --app boinc2docker --init_script boinc2docker_validator_init \
--compare_script boinc2docker_validator_compare</cmd>
        </daemon>
        <daemon>
            <cmd>script_assimilator --app boinc2docker --script boinc2docker_assimilator</cmd>
        </daemon>
"""
"""What release 2.0.0 wrote."""
ANOTHERS = "        <daemon><cmd>script_assimilator --app uppercase --script own</cmd></daemon>\n"


def add_daemons(project: Path, text: str) -> None:
    config = project / "config.xml"
    config.write_text(config.read_text().replace("    </daemons>", f"{text}    </daemons>"))


@contextlib.contextmanager
def started(project: Path) -> Iterator[dict[str, str]]:
    """Runs ``bin/start``; yields pid file and command line of each daemon that runs, and ends them."""
    for name in ("feeder", "transitioner", "script_assimilator", "script_validator"):
        (project / "bin" / name).write_text("#!/bin/sh\nexec sleep 1000\n")
        (project / "bin" / name).chmod(0o755)
    program = project / "bin" / "start"
    program.write_text(f"#!{sys.executable}\n{Path(boinc_start.__file__).read_text()}")
    program.chmod(0o755)
    pids: dict[str, int] = {}
    try:
        done = subprocess.run([program, "--verbose"], check=True, capture_output=True, text=True, timeout=60)
        pids = {path.name: int(path.read_text()) for path in (project / "pid_host").glob("*.pid")}
        for pid in pids.values():
            os.kill(pid, 0)
        yield {**dict.fromkeys(pids, "running"), **({"said": done.stdout} if done.stdout else {})}
    finally:
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)


def test_the_daemons_of_two_apps_and_anothers_all_run(options: Options, project: Path) -> None:
    add_daemons(project, ANOTHERS)
    package_app(replace(options, project=project))
    package_app(replace(options, project=project, version="1.00", settings={"name": "second"}))
    with started(project) as running:
        assert sorted(running) == [
            *("boinc2docker_assimilator.pid", "boinc2docker_validator.pid", "feeder.pid", "script_assimilator.pid"),
            *("second_assimilator.pid", "second_validator.pid", "transitioner.pid"),
        ]
    logs = {path.name for path in (project / "log_host").iterdir()}
    assert {"second_assimilator.log", "boinc2docker_validator.log", "script_assimilator.log"} <= logs


def test_without_names_of_their_own_the_second_never_starts(project: Path) -> None:
    """The stand-in is as BOINC's is: this is what used to happen."""
    add_daemons(project, BEFORE + BEFORE.replace("boinc2docker", "second"))
    with started(project) as running:
        assert running.pop("said").count("Daemon already running:  script_") == 2
        assert sorted(running) == ["feeder.pid", "script_assimilator.pid", "script_validator.pid", "transitioner.pid"]


def test_an_old_installation_is_brought_up_to_date(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    add_daemons(project, BEFORE + ANOTHERS)
    package_app(replace(options, project=project))
    said = capfd.readouterr().err
    assert "output: none -> boinc2docker_assimilator.log; pid_file: none -> boinc2docker_assimilator.pid" in said
    assert "bin/stop, then bin/start" in said.replace("\n", " ")
    found = {one.findtext("cmd", ""): one for one in ET.parse(project / "config.xml").getroot().iter("daemon")}
    assert len(found) == 6
    for command, one in found.items():
        assert (one.find("pid_file") is not None) == ("boinc2docker" in command), command
    with started(project) as running:
        assert {"boinc2docker_assimilator.pid", "script_assimilator.pid"} <= set(running)
    package_app(replace(options, project=project))
    assert "bin/stop, then" not in capfd.readouterr().err


def test_an_edited_daemon_stays_and_what_it_collides_with_is_told(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edited = BEFORE.replace("--app boinc2docker --script", "-d 3 --app boinc2docker --script")
    add_daemons(project, edited + ANOTHERS)
    before = (project / "config.xml").read_text()
    package_app(replace(options, project=project))
    after = (project / "config.xml").read_text()
    assert "<cmd>script_assimilator -d 3 --app boinc2docker --script boinc2docker_assimilator</cmd>\n" in after
    assert after.count("<pid_file>") == before.count("<pid_file>") + 1, "the validator's"
    said = capfd.readouterr().err
    assert "daemon assimilator boinc2docker stays, since" in said
    assert "runs only one of `script_assimilator -d 3 --app boinc2docker" in said


def test_several_daemons_of_a_role_are_the_operators(options: Options, project: Path) -> None:
    """As the documents show for --mod."""
    text = "".join(
        f"<daemon><cmd>script_assimilator --app boinc2docker --script boinc2docker_assimilator --mod 2 {number}</cmd>"
        f"<output>boinc2docker_assimilator_{number}.log</output>"
        f"<pid_file>boinc2docker_assimilator_{number}.pid</pid_file></daemon>\n"
        for number in range(2)
    )
    add_daemons(project, text)
    package_app(replace(options, project=project))
    assert text in (project / "config.xml").read_text()
    with started(project) as running:
        assert {f"boinc2docker_assimilator_{number}.pid" for number in range(2)} < set(running)


@pytest.mark.parametrize(
    "entry",
    [
        "<cmd>feeder -d 3</cmd>",
        "<cmd>./own/x_validator --app a</cmd><pid_file>p</pid_file>",
        "<cmd>run_in_ops ./own.php</cmd>",
        "<cmd>a</cmd><output>/dev/null</output>",
        "<cmd>a</cmd><output>o.log</output>",
        "<cmd>a</cmd><output>o.log</output><lock_file>l</lock_file>",
    ],
)
def test_files_are_named_as_boincs_start_names_them(entry: str) -> None:
    text = f"<daemon>{entry}</daemon>"
    found = daemons.files_of(xml_text.parse(text.encode(), "x"))
    assert found is not None
    assert (found.lock, found.pid) == boinc_start.daemon_files(ET.fromstring(text))[:2]


def test_only_an_apps_own_running_daemons_on_one_host_collide() -> None:
    def told(*entries: str) -> int:
        text = "".join(f"<daemon>{one}</daemon>" for one in entries)
        root = xml_text.parse(f"<boinc><daemons>{text}</daemons></boinc>".encode(), "x")
        return len(list(daemons.collisions(root, "a")))

    ours, others = "<cmd>v_validator --app a</cmd>", "<cmd>v_validator --app b</cmd>"
    assert told(ours, others) == told(others, ours) == 1
    assert told(others, others) == told(ours) == 0
    assert told(ours, f"{others}<host>far</host>") == told(ours, f"{others}<disabled>1</disabled>") == 0
    assert told(ours, f"{others}<output>b.log</output>") == 1, "the pid file is still the same"
    assert told(ours, f"{others}<output>b.log</output><pid_file>b</pid_file>") == 0
    assert told("<cmd></cmd>", ours) == 0
