"""Jobs as a scientist runs them: the real command, a real machine, a real Docker in it."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from boinc2docker.app import vdi
from boinc2docker.base.agent_bundle import Bundles
from boinc2docker.base.obtain import Sources
from boinc2docker.container.files import BUNDLE
from boinc2docker.container.run import run_job as run_in_container
from boinc2docker.container.wrapper import Engine
from tests.conftest import call, needs
from tests.e2e.images import new_archive, oci_archive, old_archive
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH

pytestmark = [pytest.mark.machine, pytest.mark.timeout(900)]

SEED = random.SystemRandom().randrange(1 << 32)
"""Printed when the test fails: the words are others each time."""
LETTERS = "'\"\\$`!*?[]{}()<>|&;#~=-+@%^,. \t\r\n\x01\x1b\x7fabcÄé漢🐳\u2028\ufeff"


def random_words(count: int) -> list[str]:
    """Words of what is special to shells, to XML, to docker and to terminals."""
    source = random.Random(SEED)
    return ["".join(source.choices(LETTERS, k=source.randrange(12))) for _ in range(count)]


ODD_WORDS = [
    "--",
    *random_words(300),
    "",
    " two  blanks ",
    "quotes ' and \" and `",
    "dollar $HOME ${x} $(id) \\ back\\slash",
    "new\nline\n",
    "tab\tand ünïcödé 漢字 🐳",
    "-- --json -n",
    "*?[a]{b,c}~!#&|;<>()",
    "x" * 100_000,
]


def watched(*words: object) -> tuple[int, list[tuple[float, str]]]:
    """A command's exit code, and its output and messages line by line, each with the time at which it came."""
    process = subprocess.Popen(
        [sys.executable, "-m", "boinc2docker.cli.program", *map(str, words)],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as lines:
        seen = [(time.monotonic(), line.rstrip("\n")) for line in lines]
    return process.wait(60), seen


def run_json(*words: object) -> tuple[int, dict[str, object], str]:
    done = call("run", "--json", *map(str, words))
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.exhaustive
def test_a_file_that_a_container_wrote_arrives(shares: str, iso: Path, tmp_path: Path) -> None:
    needs("qemu-system-x86_64")
    archive = old_archive(tmp_path / "hello.tar")
    results = tmp_path / "results"
    script = "echo hello > /root/shared/results/out.txt; echo said; echo complained >&2"
    done = call("run", archive, "--iso", iso, "--results", results, "--", "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert (results / "out.txt").read_text() == "hello\n"
    assert done.stdout == "said\n"
    assert "complained\n" in done.stderr
    assert "agent 2.0.0 on debian" in done.stderr, "no line of the overlay was seen"


def test_everything_given_reaches_the_container(shares: str, iso: Path, tmp_path: Path, docker_engine: str) -> None:
    """Words byte for byte, environment, directory, user, inputs, no network; a failing job's results; and the very data
    disk that package-app ships: the guest formats it and Docker works on it. Its output is seen while it runs.

    The job is what a dry run of submit has written, run unchanged.
    """
    needs("qemu-system-x86_64")
    disk = tmp_path / "vm_cache.vdi"
    disk.write_bytes(vdi.blank(20480))
    archive = new_archive(tmp_path / "image.tar", Entrypoint=["/bin/false"])
    data = tmp_path / "données"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "x").write_text("deep")
    single = tmp_path / "single"
    single.write_bytes(os.urandom(5000))
    env_file = tmp_path / "env"
    env_file.write_text("# comment\nFROM_FILE=a b 'c'\n")
    script = (
        'cd /root/shared/results; for word; do printf "%s\\0" "$word"; done >words; env >env; '
        "pwd >pwd; id -u >id; ls -l /root/shared >inputs; cat /root/shared/tree/sub/x >x; "
        "cat /root/shared/one >one; ls /sys/class/net >net; hostname >hostname; df -k /dev/shm /cache >sizes; "
        "ulimit -n >files; grep CapBnd /proc/self/status >capabilities; cat /proc/1/cmdline >first; "
        "echo one; sleep 3; echo two >&2; sleep 3; echo three; exit 3"
    )
    script = script.replace("cd /root/shared/results;", "where=$PWD; cd /root/shared/results;").replace(
        "pwd >pwd", 'echo "$where" >pwd'
    )
    words: list[object] = [
        *["submit", archive, "--dry-run", "--json", "--output", tmp_path, "--name", "odd", "--keep-failed-results"],
        *["--entrypoint", "/bin/sh", "-e", "A=1 2", "--env", "B='$x'", "--env-file", env_file, "-w", "/tmp"],
        *["-u", "1234:1234", "--network", "none", "--cpus", "1.5", "--hostname", "far.example"],
        *["--init", "--read-only"],
        *["--shm-size", "70MB", "--tmpfs", "/cache:size=5m", "--cap-drop", "ALL", "--ulimit", "nofile=77:88"],
        *["--on", "vm,docker", "--prerun", "echo before >results/order", "--postrun", "echo after $1 >>results/order"],
        *["--input", f"{data}:tree", "--input", f"{single}:one"],
        *["--", "-c", script, "sh", *ODD_WORDS],
    ]
    made = call(*map(str, words))
    assert made.returncode == 0, made.stderr
    results = tmp_path / "results"
    job = json.loads(made.stdout)["job"]
    code, lines = watched(
        *["run", "--job", job, "--iso", iso, "--results", results],
        *["--disk", disk, "--memory", "1GB", "--cpus", "2"],
    )
    shown = "\n".join(line for _, line in lines)
    assert code == 0, shown
    assert "the container exited with 3" in shown
    came = [(at, line) for at, line in lines if line in ("one", "two", "three")]
    assert [line for _, line in came] == ["one", "two", "three"], shown
    assert all(later - sooner > 1.5 for (sooner, _), (later, _) in itertools.pairwise(came)), came
    logs = Path(re.findall(r"^logs: (.*)$", shown, re.MULTILINE)[0]) / "container"
    assert [(logs / f"{name}.txt").read_text() for name in ("stdout", "stderr")] == ["one\nthree\n", "two\n"]
    assert (results / "words").read_bytes() == b"".join(word.encode() + b"\0" for word in ODD_WORDS), f"seed {SEED}"
    environment = (results / "env").read_text()
    assert "A=1 2\n" in environment
    assert "B='$x'\n" in environment
    assert "FROM_FILE=a b 'c'\n" in environment
    assert (results / "pwd").read_text() == "/tmp\n"
    assert (results / "id").read_text() == "1234\n"
    assert (results / "x").read_text() == "deep"
    assert (results / "one").read_bytes() == single.read_bytes()
    assert (results / "net").read_text() == "lo\n"
    assert re.search(r"data disk sd[a-z]: 20480 MB for Docker", shown)
    assert disk.read_bytes() == vdi.blank(20480), "the machine got a copy"
    assert (results / "order").read_text() == "before\nafter 3\n"
    assert (results / "hostname").read_text() == "far.example\n"
    assert [line.split()[1] for line in (results / "sizes").read_text().splitlines()[1:]] == ["71680", "5120"]
    assert (results / "files").read_text() == "77\n"
    assert (results / "capabilities").read_text().split() == ["CapBnd:", "0" * 16]
    assert b"init" in (results / "first").read_bytes()
    same_in_a_container(Path(job), results, tmp_path, docker_engine)


OF_THE_MACHINE = {"inputs", "first", "sizes"}
"""Results that tell of times, of processes and of the kernel's words."""


def same_in_a_container(job: Path, results: Path, tmp_path: Path, engine: str) -> None:
    """The work unit's files, laid into a slot as on a host with Docker, give what the machine gave."""
    slot = tmp_path / "slot"
    shutil.copytree(job, slot / "shared")
    for name in ("Dockerfile", "b2d_image", "job.toml"):
        shutil.copyfile(job.parent / "boinc" / name, slot / name)
    shutil.copyfile(Bundles(Sources(), locked=True).obtain("amd64"), slot / BUNDLE)
    outcome = run_in_container(
        slot,
        Engine.DOCKER,
        results=tmp_path / "from-container",
        log=tmp_path / "log-of-container",
        timeout=300,
        environment={"DOCKER_HOST": engine, "DOCKER_BUILDKIT": "0"},
    )
    assert (outcome.exit_code, outcome.container_exit_code) == (0, 3), outcome.message
    files = {path.name for path in results.iterdir()}
    assert {path.name for path in (tmp_path / "from-container").iterdir()} == files
    for name in files - OF_THE_MACHINE:
        assert (tmp_path / "from-container" / name).read_bytes() == (results / name).read_bytes(), name


@pytest.mark.exhaustive
def test_the_exit_code_is_the_containers_and_equal_results_are_equal_bytes(
    shares: str, iso: Path, tmp_path: Path
) -> None:
    """A prepared job directory is run in place; what it leaves there is what BOINC would upload."""
    needs("qemu-system-x86_64")
    archive = oci_archive(tmp_path / "image.tar")
    script = "cd /root/shared/results; mkdir -p b a; echo 1 >a/y; echo 2 >b/x; echo 3 >.hidden; exit 7"
    code, outcome, shown = run_json(archive, "--iso", iso, "--", "/bin/sh", "-c", script)
    assert code == 7, shown
    assert outcome["exit_code"] == 7
    job = Path(str(outcome["log"])).parent / "shared"
    assert (job / "completion_trigger_file").read_text().splitlines()[0] == "7"
    with tarfile.open(job / "results.tgz") as packed:
        members = packed.getmembers()
    assert [member.name for member in members] == [".hidden", "a", "a/y", "b", "b/x"]
    assert {(member.mtime, member.uid, member.gid) for member in members} == {(0, 0, 0)}
    with tarfile.open(job / "boinc_log.tgz") as log:
        report = json.load(log.extractfile("job.json") or pytest.fail("no job.json"))
    assert report["exit_code"] == 7
    assert set(report["marks"]) >= {"init", "containerd", "docker", "loaded", "results"}
    assert 0 < report["memory_peak_mb"] < 400
