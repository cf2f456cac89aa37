"""What the volunteer sees of a job's progress: stages, then a number of the job's, whatever the job writes."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.guest.machine import Machine, engine_socket
from tests.guest.test_agent import HEADER

PARTS = "progress"


def shown(machine: Machine) -> str:
    """The host's file, as it stands: one line of a fixed size."""
    content = (machine.share / "progress").read_text()
    assert len(content) == 21
    assert content[-1] == "\n"
    return content.rstrip()


def copied(machine: Machine, content: str | None, name: str = "progress") -> str:
    """What is shown once the job's file has this content."""
    if content is not None:
        (machine.directory / name).parent.mkdir(exist_ok=True)
        (machine.directory / name).write_text(content)
    machine.sh("progress_start; progress_job; progress_copy", parts=PARTS)
    return shown(machine)


def test_stages_take_their_parts(machine: Machine) -> None:
    machine.sh("progress_start", parts=PARTS)
    assert shown(machine) == "0.001"
    for done, total, said in ((0, 5, "0.0030"), (2, 5, "0.0050"), (5, 5, "0.0080"), (9, 5, "0.0080"), (0, 0, "0.0080")):
        machine.sh(f"progress_part 0.003 0.008 {done} {total}", parts=PARTS)
        assert shown(machine) == said


NUMBERS = {
    "0.5": "0.500000",
    "0.5\n": "0.500000",
    "0.1\n0.25\n": "0.250000",
    ".75": "0.750000",
    "5e-1": "0.500000",
    "1": "1.000000",
    "17": "1.000000",
    "1e999": "1.000000",
    "9" * 4000: "1.000000",
    "0": "0.010000",
    "0.0001": "0.010000",
    "ünï 0.5 cödé": "0.500000",
    "-0.5": "0",
    "nan": "0",
    "inf": "0",
    "0x1": "0",
    "": "0",
    "half done; $(id) `id`": "0",
    "\0\0\x1b[31m0.5": "0",
}


def test_only_a_number_gets_out(machine: Machine) -> None:
    assert {content: copied(machine, content) for content in NUMBERS} == NUMBERS


def test_without_a_file_of_the_jobs_it_is_0(machine: Machine) -> None:
    assert copied(machine, None) == "0"


def test_before_the_container_starts_the_jobs_file_does_not_count(machine: Machine) -> None:
    (machine.directory / "progress").write_text("0.5")
    machine.sh("progress_start; progress_copy", parts=PARTS)
    assert shown(machine) == "0.001"


def test_what_is_no_file_is_not_read(machine: Machine) -> None:
    path, secret = machine.directory / "progress", machine.root / "secret"
    secret.write_text("0.42")
    for target in (secret, machine.root / "nowhere"):
        path.symlink_to(target)
        assert copied(machine, None) == "0"
        path.unlink()
    os.mkfifo(path)
    assert copied(machine, None) == "0"
    path.unlink()
    path.mkdir()
    assert copied(machine, None) == "0"


def test_the_job_may_name_its_file(machine: Machine) -> None:
    (machine.run_dir / "job").mkdir()
    (machine.run_dir / "job" / "progress-file").write_text("sub/my file\n")
    assert copied(machine, "0.3", "sub/my file") == "0.300000"


def test_a_name_elsewhere_is_refused(make: Callable[[str], Machine]) -> None:
    for number, (words, message) in enumerate(
        {
            "../progress": "job_progress: not a path below shared: '../progress'",
            "/etc/passwd": "job_progress: not a path below shared: '/etc/passwd'",
            "a b": "job_progress takes one name, not 2 words",
        }.items()
    ):
        machine = make(("busybox", "dash", "bash")[number])
        machine.job(f"{HEADER}job_progress {words}\n")
        assert machine.run_job() == (1, message)


def test_a_whole_job_shows_its_stages_then_its_number(machine: Machine) -> None:
    machine.job(HEADER + "job_progress 'sub/file'\n" + machine.image(b"x") + "job_run -- true\n")
    note = f'tr -d " " <"{machine.share}/progress" >>"$STUB/seen"'
    (machine.stub / "at-load").write_text(note)
    (machine.stub / "container").write_text(
        f'{note}; mkdir "$B2D_JOB/sub"; echo 0.625 >"$B2D_JOB/sub/file"\n'
        'while [ ! -e "$B2D_JOB/go" ]; do sleep 0.1; done\n'
    )
    host = machine.share / "progress"

    with engine_socket(machine.root / "docker.sock"):
        machine.boot()
        machine.wait_for(lambda: host.exists() and host.read_text().startswith("0.625000"))
        (machine.directory / "go").touch()
        machine.wait_for(machine.completion.exists)
        machine.cut_power()
    assert (machine.stub / "seen").read_text() == "0.008\n0\n"
