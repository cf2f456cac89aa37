"""testinfra looks into one booted machine: the released ISO, its real kernel, its real Docker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

from boinc2docker.cli.run import LIKE
from tests.conftest import needs
from tests.e2e.command_job import CommandJob, host
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH

pytestmark = [pytest.mark.machine, pytest.mark.timeout(900)]

BOOT_LIMIT = 600


@pytest.fixture(scope="module")
def job(iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandJob]:
    """A machine that runs a hand-written job for as long as this module's tests need it."""
    needs("qemu-system-x86_64")
    directory = tmp_path_factory.mktemp("booted")
    job = CommandJob(directory / "shared")
    job.write()
    words = ["run", "--job", job.shared, "--iso", iso, "--memory", "1GB", "--scratch", directory / "scratch"]
    argv = [sys.executable, "-m", "boinc2docker.cli.program", *(str(word) for word in words)]
    with (directory / "output").open("wb") as output:
        machine = subprocess.Popen(
            argv,
            cwd=PROJECT_ROOT,
            stdout=output,
            stderr=output,
            env={"PYTHONPATH": PYTHON_PATH, "PATH": PATH, LIKE: os.environ.get(LIKE, "")},
        )
    try:
        deadline = time.monotonic() + BOOT_LIMIT
        while not job.ready():
            assert machine.poll() is None, (directory / "output").read_text()
            assert time.monotonic() < deadline, (directory / "output").read_text()
            time.sleep(0.5)
        yield job
        job.stop()
        assert machine.wait(timeout=120) == 0, (directory / "output").read_text()
        assert (job.shared / "results.tgz").is_file()
    finally:
        machine.terminate()
        machine.wait(timeout=60)


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture(scope="module")
def machine(job: CommandJob) -> Host:
    return host(job)


def test_docker_answers_and_runs_on_overlay2(machine: Host) -> None:
    assert machine.check_output("docker info --format '{{.Driver}} {{.CgroupVersion}}'") == "overlay2 2"


def test_nothing_listens(machine: Host) -> None:
    """No TCP or UDP socket waits for anybody: read from the kernel, not from a tool that might be missing."""
    listening = machine.check_output("cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\"'")
    assert listening == ""
    bound = machine.check_output("cat /proc/net/udp /proc/net/udp6 | awk '$4 == \"07\" { print $2 }'")
    assert bound == ""
    assert not machine.exists("sshd")


def test_nobody_can_log_in(machine: Host) -> None:
    accounts = machine.file("/etc/shadow").content_string.splitlines()
    assert accounts
    assert all(line.split(":")[1] in {"*", "!", "!*"} for line in accounts)
    programs = machine.check_output("ps | awk 'NR > 1 { print $3, $4 }'")
    assert "dockerd" in programs
    assert "getty" not in programs
    assert "login" not in programs


def test_modules_are_there(machine: Host) -> None:
    loaded = machine.check_output("cat /proc/modules | cut -d' ' -f1").split()
    assert {"overlay", "squashfs", "isofs", "bridge", "veth", "br_netfilter"} <= set(loaded)
    for name in ("vboxguest", "vboxsf", "virtiofs", "ext4", "e1000", "virtio_net", "9p"):
        assert machine.run("modprobe -n %s", name).rc == 0, name


def test_the_host_is_mounted_for_the_agent_alone(machine: Host) -> None:
    for path in ("/mnt/b2d-share", "/mnt/b2d-scratch"):
        mount = machine.mount_point(path)
        assert mount.exists
        assert mount.filesystem == "9p"
    assert not machine.file("/root/scratch").exists


def test_the_jobs_directory_is_the_machines_own(machine: Host) -> None:
    assert machine.mount_point("/root/shared").filesystem == "tmpfs", "this machine has no data disk"
    assert machine.file("/root/shared").mode == machine.file("/root/shared/results").mode == 0o777
    assert machine.check_output("ls -A /root/shared") == "results"
    assert machine.file("/mnt/b2d-work/agent").mode == 0o700


def test_root_file_system_is_squashfs_under_an_overlay(machine: Host) -> None:
    assert machine.mount_point("/").filesystem == "overlay"
    assert machine.check_output("awk '$3 == \"squashfs\"' /proc/mounts") != ""
    assert machine.mount_point("/var/lib/docker").filesystem == "tmpfs"


def test_opt_is_the_overlays(machine: Host) -> None:
    for name in ("opt/bootlocal.sh", "opt/boinc2docker/agent", "opt/boinc2docker/lib/job.sh"):
        ours = (PROJECT_ROOT / "guest" / "overlay" / name).read_text()
        there = machine.file("/" + name)
        assert there.content_string == ours
        assert there.user == "root"
    assert machine.file("/opt/boinc2docker/identity.json").exists


def test_the_guest_is_small(machine: Host) -> None:
    """Less than 200 MB of a 1 GB machine is in use with Docker running; caches, which give way, do not count."""
    lines = machine.file("/proc/meminfo").content_string.splitlines()
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    used = kb["MemTotal"] - kb["MemFree"] - kb["Buffers"] - kb["Cached"] - kb["SReclaimable"] + kb["Shmem"]
    assert used / 1024 < 200


def test_a_line_of_the_log_is_cheap(machine: Host) -> None:
    """Twenty lines to the port take less than what twenty starts of a program took the old way (0.65 s a line)."""
    script = "i=0; while [ $i -lt 20 ]; do echo 'a line of the usual length for the port 0x504'; i=$((i+1)); done"
    began = time.monotonic()
    assert machine.run(script + ' | while read -r l; do echo "$l" | /opt/boinc2docker/bin/guestlog; done').rc == 0
    assert time.monotonic() - began < 20 * 0.65


def test_the_network_is_up(machine: Host) -> None:
    assert machine.check_output("ip -4 -o addr show scope global | grep -c 10.0.2.") == "1"
    assert "nameserver" in machine.file("/etc/resolv.conf").content_string


def test_power_button_and_boot_marks(machine: Host) -> None:
    marks = machine.check_output("cut -d' ' -f1 /run/boinc2docker/marks").split()
    assert marks.index("init") < marks.index("modules") < marks.index("containerd") < marks.index("docker")
    assert "acpid" in machine.check_output("ps")
