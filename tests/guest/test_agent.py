"""Whole jobs through the real agent, under every shell; only docker and mount are stand-ins here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boinc2docker.job.inputs import Input
from boinc2docker.job.shipment import ship
from tests.guest.machine import Machine, engine_socket
from tests.guest.scripts import HOME

HEADER = "#!/bin/sh\n# boinc2docker job, format 1\n. /opt/boinc2docker/lib/job.sh\n"


def test_a_job_runs_and_hands_back_its_results(machine: Machine) -> None:
    machine.job(HEADER + machine.image(b"layer one", b"layer two") + "job_run '--env' 'A=b c' -- 'sh' '-c' 'echo'\n")
    (machine.stub / "container").write_text(
        'echo out; echo err >&2; echo hello >"$B2D_JOB/results/out.txt"; echo 1 >"$B2D_JOB/results/.dot"\n'
    )
    assert machine.run_job() == (0, "")
    assert machine.archive("results.tgz") == {"out.txt": b"hello\n", ".dot": b"1\n"}
    logs = machine.archive("boinc_log.tgz")
    assert (logs["stdout.txt"], logs["stderr.txt"]) == (b"out\n", b"err\n")
    record = machine.record()
    assert record["exit_code"] == 0
    assert record["image"] == "python:3-slim"
    assert [layer["source"] for layer in record["layers"]] == ["shared", "shared"]
    marks = record["marks"]
    order = ["agent", "shared", "docker", "image", "loaded", "run", "first-output", "results", "report"]
    assert list(marks) == order
    assert sorted(marks.values()) == list(marks.values())
    assert record["memory_peak_mb"] == 97
    events = machine.log().splitlines()
    assert events[0].split()[2:4] == ["boot", "agent"]
    assert events[-1].split(" ", 2)[2] == "report exit 0"
    assert (machine.stub / "port").read_text() == machine.log() == (machine.root / "console").read_text()
    assert (machine.directory / "results").stat().st_mode & 0o777 == 0o777
    words = (machine.stub / "create").read_bytes().split(b"\0")
    config = record["image_id"].encode()
    volume = f"{machine.directory}:/root/shared".encode()
    name = b"boinc2docker-job"
    assert words == [b"--name", name, b"-v", volume, b"--env", b"A=b c", config, b"sh", b"-c", b"echo", b""]


def directory_archive(machine: Machine) -> bytes:
    """A directory as it travels, made by the code that makes it for real."""
    source = machine.root / "data"
    (source / "deep" / "empty").mkdir(parents=True)
    (source / "one").write_bytes(b"1")
    (source / "tool").write_bytes(b"#!/bin/sh\n")
    (source / "tool").chmod(0o755)
    return ship(Input(source, "my data"), machine.root).content.read_bytes()


def test_directories_are_unpacked_once_and_scripts_run_around_the_container(machine: Machine) -> None:
    place = machine.share / ".boinc2docker"
    place.mkdir()
    (place / "input-x.tgz").write_bytes(directory_archive(machine))
    (place / "boots").write_text("08\n")  # no shell takes it for a number
    lines = (
        "job_prerun 'test -x \"my data/tool\" && echo before >>order'\n"
        "job_postrun 'echo after $1 >>order; test ! -e fail || exit 9'\n"
        "job_unpack '.boinc2docker/input-x.tgz' 'my data'\n"
    )
    machine.job(HEADER + lines + machine.image(b"x") + "job_run --\n")
    (machine.stub / "container").write_text(
        'cd "$B2D_JOB"; echo in >>order; cat "my data/one"; echo 2 >"my data/one"\n'
    )
    assert machine.run_job() == (0, "")
    assert (machine.directory / "order").read_text() == "before\nin\nafter 0\n"
    assert (machine.directory / "my data" / "deep" / "empty").is_dir()
    machine.completion.unlink()
    (machine.directory / "fail").touch()
    machine.power_on()
    assert machine.run_job() == (9, "postrun ended with exit code 9")
    assert (machine.directory / "my data" / "one").read_text() == "2\n", "what the job wrote survives a restart"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("job_prerun 'exit 4'", "prerun ended with exit code 4"),
        ("job_prerun a b", "job_prerun takes one text, not 2 words"),
        ("job_unpack ../x y", "job_unpack: not a path below shared: '../x'"),
        ("job_unpack bad.tgz y", "the input y cannot be unpacked: "),
    ],
)
def test_what_goes_wrong_before_the_container_is_told(line: str, message: str, make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    (machine.share / "bad.tgz").write_bytes(b"no archive")
    machine.job(f"{HEADER}{line}\n{machine.image(b'x')}job_run --\n")
    code, said = machine.run_job()
    assert (code, said[: len(message)]) == (1, message)
    assert not (machine.stub / "create").exists()


def test_no_more_processors_than_the_machine_has(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    (machine.root / f"proc{machine.boots}" / "cpuinfo").write_text("processor\t: 0\nprocessor\t: 1\n")
    machine.run_dir.joinpath("job").mkdir()
    for cpus, kept in (("1.5", True), ("2", True), ("2.1", False)):
        words = machine.sh(
            'container_create "$@"; tr "\\0" " " <"$STUB/create"',
            *("IMAGE", f"--cpus={cpus}", "--", "--cpus=9"),
            parts="container",
        )
        assert words.decode().split()[4:] == [*([f"--cpus={cpus}"] if kept else []), "IMAGE", "--cpus=9"]


def test_exit_codes_and_their_reasons(make: Callable[[str], Machine]) -> None:
    cases = [
        (3, "", "", "the container ended with exit code 3"),
        (137, "true", "", "killed: out of memory"),
        (3, "true", "", "the container ended with exit code 3; a process of it was killed: out of memory"),
        (137, "", "", "the container was ended by signal 9 (exit code 137)"),
        (127, "", "exec: no such file", "the container could not be started: exec: no such file"),
        (126, "", "", "the program in the image cannot be executed (126)"),
        (255, "", "", "the container ended with exit code 255"),
    ]
    for code, killed, error, message in cases:
        machine = make("busybox")
        machine.job(HEADER + machine.image(b"x") + "job_run --\n")
        (machine.stub / "container").write_text(f"echo last words; exit {code}\n")
        if killed:
            (machine.stub / "oom").write_text(killed)
        if error:
            (machine.stub / "error").write_text(error)
        assert machine.run_job() == (code, message)
        assert machine.record()["exit_code"] == code
        assert machine.record()["message"] == message
        assert "run stdout: last words\n" in machine.log()


def test_results_of_a_failed_job_can_be_kept(machine: Machine) -> None:
    machine.job(HEADER + "job_option keep-failed-results\n" + machine.image(b"x") + "job_run -- 'false'\n")
    (machine.stub / "container").write_text('echo half >"$B2D_JOB/results/half"; exit 7\n')
    assert machine.run_job() == (0, "the container ended with exit code 7")
    assert machine.record()["exit_code"] == 7
    assert machine.archive("results.tgz") == {"half": b"half\n"}


def test_only_a_container_s_failure_is_kept(machine: Machine) -> None:
    """A job that never ran has no results, and must not pass for one that did."""
    machine.job(
        HEADER + "job_option keep-failed-results\n" + machine.image(b"x") + "job_prerun 'exit 3'\njob_run -- 'x'\n"
    )
    code, message = machine.run_job()
    assert (code, message) == (1, "prerun ended with exit code 3")
    assert "kept" not in machine.record()


def test_a_hand_written_job_that_only_calls_docker(machine: Machine) -> None:
    machine.job("echo $PWD; docker ps -aq; docker start --attach x; exit 9\n")
    (machine.stub / "container").write_text("echo from docker\n")
    assert machine.run_job() == (9, "the job ended with exit code 9")
    assert machine.archive("boinc_log.tgz")["stdout.txt"] == f"{machine.directory}\nfrom docker\n".encode()


def test_what_a_job_leaves_running_does_not_hold_up_its_end(machine: Machine) -> None:
    machine.job("echo started; sleep 1000 & exit 4\n")
    started = time.monotonic()
    assert machine.run_job()[0] == 4
    assert time.monotonic() - started < 25
    assert machine.archive("boinc_log.tgz")["stdout.txt"] == b"started\n"


def test_no_job(machine: Machine) -> None:
    assert machine.run_job() == (1, "there is no job: shared/boinc_app is missing")


def test_mistakes_in_a_job_are_named(make: Callable[[str], Machine]) -> None:
    digest = "sha256:" + "a" * 64
    cases = {
        "job_option keep-everything\n": "unknown option 'keep-everything': the job was made for another agent",
        f"job_image x {digest[:-1]} 3\n": f"job_image: not a digest and a size: '{digest[:-1]}' '3'",
        f"job_layer {digest} 3x {digest}\n": (
            f"job_layer: not a digest, a size and a digest: '{digest}' '3x' '{digest}'"
        ),
        "job_run -- true\n": "job_run: job_image was not called",
        f"job_image x {digest} 3\njob_run -- true\n": "job_run: job_layer was not called",
        f"job_image x {digest} 3\njob_run true\n": 'job_run: there is no "--" between options and words',
        f"job_image x {digest} 3\njob_layer {digest} 3 {digest}\njob_run --\n": (
            f"image x: config {digest} is missing (expected as shared/image/{'a' * 64})"
        ),
    }
    for number, (lines, message) in enumerate(cases.items()):
        machine = make(("busybox", "dash", "bash")[number % 3])
        machine.job(HEADER + lines + "echo not reached\n")
        assert machine.run_job() == (1, message[:400])
        assert machine.archive("boinc_log.tgz")["stdout.txt"] == b""


def test_a_bad_layer_is_named(make: Callable[[str], Machine]) -> None:
    for damage, expected in (
        (b"", "has 0 bytes instead of"),
        (None, "is missing"),
        (b"flip", "corrupt layer: sha256:"),
    ):
        machine = make("busybox")
        lines = machine.image(b"first", b"second")
        layer = lines.splitlines()[2].split("'")[1].removeprefix("sha256:")
        path = machine.share / "image" / layer
        content = path.read_bytes()
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage + content[len(damage) :] if damage else b"")
        machine.job(HEADER + lines + "job_run -- true\n")
        code, message = machine.run_job()
        assert code == 1
        assert expected in message
        assert layer in message
        assert "python:3-slim" in message


@pytest.fixture
def in_memory() -> Iterator[str]:
    """A directory on a file system of its own, whose mount everybody sees (the root's is not seen in a chroot)."""
    if not Path("/dev/shm").is_mount():
        pytest.skip("/dev/shm is no mount here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield name


def test_an_image_that_cannot_fit_is_refused_before_it_is_loaded(
    make: Callable[[str], Machine], in_memory: str
) -> None:
    machine = make("busybox")
    machine.environment["B2D_DOCKER_DATA"] = in_memory
    (machine.root / "proc1" / "mounts").write_text("tmpfs /dev/shm tmpfs rw 0 0\n")
    (machine.root / "proc1" / "meminfo").write_text("MemTotal: 40000 kB\nMemAvailable: 20000 kB\nSwapFree: 0 kB\n")
    machine.job(HEADER + machine.image(bytes(30_000_000)) + "job_run -- true\n")
    code, message = machine.run_job()
    assert code == 1
    assert "needs about 28 MB to be loaded but only 19 MB are free" in message
    assert not (machine.stub / "load").exists()


def test_a_load_that_stands_still_is_given_up(make: Callable[[str], Machine]) -> None:
    machine = make("dash")
    machine.environment["B2D_LOAD_STALL"] = "0"
    (machine.stub / "load-hangs").touch()
    machine.job(HEADER + machine.image(b"x") + "job_run -- true\n")
    code, message = machine.run_job()
    assert code == 1
    assert "docker load made no progress" in message


def test_an_image_that_is_there_is_not_loaded_again(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    lines = machine.image(b"x")
    (machine.stub / f"loaded-{lines.split(':')[2][:64]}").touch()
    machine.job(HEADER + lines + "job_run -- true\n")
    assert machine.run_job() == (0, "")
    assert not (machine.stub / "load").exists()


def test_another_user_can_pass_through_root(make: Callable[[str], Machine]) -> None:
    for user, opened in (("1000:1000", True), ("nobody", True), ("root", False), ("0:0", False), ("", False)):
        machine = make("busybox")
        (machine.stub / "user").write_text(user)
        machine.job(HEADER + machine.image(b"x") + "job_run -- true\n")
        assert machine.run_job() == (0, "")
        assert (machine.stub / "cp.tar").exists() is opened


def test_containers_of_an_earlier_boot_go_first(machine: Machine) -> None:
    (machine.stub / "old-containers").write_text("aaa\nbbb\n")
    machine.job("exit 0\n")
    machine.run_job()
    assert (machine.stub / "removed").read_text() == "rm -f aaa bbb\n"


def test_without_scratch_the_job_runs(machine: Machine) -> None:
    (machine.stub / "no-scratch").touch()
    machine.job("exit 0\n")
    assert machine.run_job() == (0, "")
    assert "scratch: none" in machine.log()


def test_site_hooks_run_around_the_job(make: Callable[[str], Machine]) -> None:
    machine = make("dash")
    home = machine.root / "home"
    home.mkdir()
    for path in HOME.iterdir():
        (home / path.name).symlink_to(path)
    hooks = home / "site" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "before-job").write_text("echo before >>order\n")
    (hooks / "after-job").write_text('echo "after $1" >>order\n')
    machine.environment["B2D_HOME"] = str(home)
    machine.job("echo job >>order; exit 5\n")
    assert machine.run_job()[0] == 5
    assert (machine.directory / "order").read_text() == "before\njob\nafter 5\n"


def test_bootlocal_starts_the_agent_once(machine: Machine) -> None:
    machine.job('echo ran >>"$B2D_JOB/ran"\n')
    bootlocal = HOME.parent / "bootlocal.sh"
    with engine_socket(machine.root / "docker.sock"):
        for _ in range(3):
            machine.sh(f'sh "{bootlocal}"')
        machine.wait_for(machine.completion.exists)
        time.sleep(0.3)
    assert machine.log().count(" boot agent ") == 1
    assert (machine.directory / "ran").read_text() == "ran\n"
