"""ci/prepare-tests with stand-ins for apt and dpkg: what it leaves out, and the file that keeps services off."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.equipment.checkout import PROJECT_ROOT

TOOLS = ("cat", "chmod", "dirname", "flock", "grep", "mktemp", "rm", "sleep", "sh", "tail", "tr")
STAND_INS = {
    "id": "echo 0",
    "dpkg-query": "exit 1",  # nothing is installed, ever
    "apt-get": """\
[ "$1" = install ] || exit 0
echo begun >>"$JOURNAL"
sleep 0.3
[ -x "$POLICY" ] || echo "services may start" >>"$JOURNAL"
echo "$*" >>"$JOURNAL"
""",
}


class Machine:
    """A machine on which nothing is installed but what ``has`` puts there."""

    def __init__(self, root: Path) -> None:
        needs(*TOOLS)
        self.bin, self.journal, self.policy = root / "bin", root / "journal", root / "sbin" / "policy-rc.d"
        for directory in (self.bin, root / "ci", self.policy.parent):
            directory.mkdir()
        shutil.copy(PROJECT_ROOT / "ci" / "test-packages.txt", root / "ci")
        text = (PROJECT_ROOT / "ci" / "prepare-tests").read_text()
        self.script = root / "ci" / "prepare-tests"
        self.script.write_text(text.replace("/usr/sbin/policy-rc.d", str(self.policy)))
        self.script.chmod(0o755)
        for name in TOOLS:
            (self.bin / name).symlink_to(str(shutil.which(name)))
        for name, text in STAND_INS.items():
            self.has(name, text)

    def has(self, name: str, text: str = "") -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    def start(self, *packages: str) -> subprocess.Popen[str]:
        environment = {"PATH": str(self.bin), "JOURNAL": str(self.journal), "POLICY": str(self.policy)}
        return subprocess.Popen(
            [self.script, *packages], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def installed(self, *packages: str) -> set[str]:
        process = self.start(*packages)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 0, said
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return {word for line in lines if line.startswith("install ") for word in line.split()[1:] if word[0] != "-"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_conflicts_with_something_that_is_there_is_left_out(machine: Machine) -> None:
    """On GitHub's machines MySQL and another Docker are there; apt would refuse everything for the sake of one."""
    lines = (PROJECT_ROOT / "ci" / "test-packages.txt").read_text().splitlines()
    listed = {line.split()[0] for line in lines if line[0] != "#"}
    assert machine.installed() == listed
    machine.journal.unlink()
    machine.has("mysqld")
    machine.has("dockerd")
    assert machine.installed() == listed - {"mariadb-server-core", "mariadb-client-core", "docker.io"}
    assert " --no-remove " in machine.journal.read_text()
    machine.journal.unlink()
    machine.has("mariadbd")  # MariaDB itself brings a mysqld as well
    assert machine.installed("mariadb-server-core") == {"mariadb-server-core"}


def test_what_is_in_the_way_goes_from_a_machine_that_is_thrown_away(machine: Machine) -> None:
    """MySQL, that is; another Docker is none the worse for the tests."""
    machine.has("mysqld")
    machine.has("dockerd")
    found = machine.installed("--throw-away")
    assert {"mariadb-server-core", "mariadb-client-core", "minisign"} <= found
    assert "docker.io" not in found
    assert "--no-remove" not in machine.journal.read_text()
    machine.journal.unlink()
    assert machine.installed("--throw-away", "minisign") == {"minisign"}


def test_another_option_is_wrong_usage(machine: Machine) -> None:
    refused = machine.start("--throwaway")
    said = refused.communicate(timeout=60)[1]
    assert refused.returncode == 2
    assert "expected --throw-away or packages" in said
    assert not machine.journal.exists()


def test_services_stay_off_until_the_last_of_several_has_installed(machine: Machine) -> None:
    first = machine.start("minisign")
    while not machine.journal.exists():
        time.sleep(0.01)
        assert first.poll() is None
    time.sleep(0.1)
    second = machine.start("minisign")
    for process in (first, second):
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert "services may start" not in machine.journal.read_text().splitlines()
    assert machine.journal.read_text().count("begun") == 2
    assert not machine.policy.exists()


def test_what_a_killed_run_left_is_removed_by_the_next(machine: Machine) -> None:
    killed = machine.start("minisign")
    while not machine.journal.exists():
        time.sleep(0.01)
        assert killed.poll() is None
    os.killpg(killed.pid, 9)
    killed.communicate(timeout=60)
    assert machine.policy.exists()
    machine.installed("minisign")
    assert not machine.policy.exists()


def test_a_policy_of_the_tester_stays(machine: Machine) -> None:
    machine.policy.write_text("#!/bin/sh\nexit 0\n")
    machine.policy.chmod(0o755)
    machine.installed("minisign")
    assert machine.policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_the_unpacker_of_qemu_finds_the_package() -> None:
    text = (PROJECT_ROOT / "ci" / "prepare-tests").read_text()
    [path] = re.findall(r'PYTHONPATH=(\S+) "\$root/\.venv/bin/python" -m ci\.qemu', text)
    environment = {"PYTHONPATH": path.replace("$root", str(PROJECT_ROOT)), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", "import ci.qemu"], env=environment, cwd="/", check=True)
