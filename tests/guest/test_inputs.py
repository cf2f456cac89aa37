"""A job's inputs: brought in once, whole, whatever their names and sizes, and nothing of the agent's with them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.machine import Machine
from tests.guest.small_disk import small_disk

PARTS = "inputs"
BRING = 'work_prepare && { inputs_bring || echo "$INPUTS_ERROR"; }'
OWN = (
    "boinc_app heartbeat progress init_data.xml completion_trigger_file completion_trigger_file.part "
    "temporary_exit_trigger_file results.tgz results.tgz.part boinc_log.tgz boinc_log.tgz.part image/layer "
    ".boinc2docker/canary .boinc2docker/input-0.tgz"
)


def tree(folder: Path) -> dict[str, bytes | None]:
    """What is in a directory; None is a directory."""
    return {str(p.relative_to(folder)): None if p.is_dir() else p.read_bytes() for p in folder.rglob("*")}


def plant(folder: Path, wanted: dict[str, bytes | None]) -> None:
    for name, content in wanted.items():
        path = folder / name
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content)


def test_inputs_come_whole_whatever_they_are_called(machine: Machine) -> None:
    machine.environment["B2D_PIECE_MB"] = "1"
    wanted: dict[str, bytes | None] = {
        "a file": b"1",
        "-rf": b"2",
        "--checkpoint-action=exec=id": b"3",
        "ünï cödé 漢.txt": b"4",
        "back\\nslash": b"5",
        "'quoted' \"name\" $(id) *": b"6",
        " blanks ": b"7",
        ".hidden": b"8",
        "empty": b"",
        "empty directory": None,
        "large and with blanks": random.Random(0).randbytes((5 << 20) // 2),
        "deep": None,
        "deep/er and": None,
        "deep/er and/deeper": None,
        "deep/er and/deeper/-x": b"9",
        "deep/image": b"an input of this name is one, below",
    }
    plant(machine.share, wanted)
    (machine.share / "link").symlink_to("/etc/passwd")
    machine.sh(BRING, parts=PARTS)
    found = tree(machine.work / "job")
    assert found.pop("results") is None
    assert found == wanted
    modes = {path.stat().st_mode & 0o777 for path in (machine.work / "job").rglob("*")}
    assert modes == {0o777}, "the container's user may be anybody"


def test_nothing_of_the_agents_own_comes_in(machine: Machine) -> None:
    plant(machine.share, dict.fromkeys(OWN.split(), b"x"))
    machine.sh(BRING, parts=PARTS)
    assert tree(machine.work / "job") == {"results": None}


def test_many_files_come_in_quickly(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    wanted: dict[str, bytes | None] = {"many files": None}
    wanted |= {f"many files/number {number} of some, ü": b"%d" % number for number in range(1500)}
    plant(machine.share, wanted)
    started = time.monotonic()
    machine.sh(BRING, parts=PARTS)
    assert time.monotonic() - started < 40
    assert tree(machine.work / "job") == {**wanted, "results": None}
    assert "1500 inputs" in machine.log()


def test_inputs_that_do_not_fit_say_what_is_needed(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    plant(machine.share, {"large": bytes(3 << 20)})
    with small_disk(machine.work, "2m"):
        machine.job("exit 0\n")
        code, message = machine.run_job()
    assert code == 1
    assert message.startswith("the inputs need 4 MB but only 1 MB are free on disk: the machine needs a (larger)")
    assert not (machine.run_dir / "boinc_app").exists(), "the job has not run"


def test_inputs_that_do_not_fit_into_memory_say_so(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    machine.disk = False
    machine.power_on()
    plant(machine.share, {"large": bytes(3 << 20)})
    machine.work.mkdir(exist_ok=True)
    with small_disk(machine.work, "2m"):
        machine.job("exit 0\n")
        code, message = machine.run_job()
    assert code == 1
    assert "MB are free in memory: the machine needs a (larger) data disk" in message


def test_what_the_job_has_made_of_them_survives_a_restart_but_no_other_job(machine: Machine) -> None:
    plant(machine.share, {"input": b"from the host", "removed": b"x"})
    machine.job('cd "$B2D_JOB"; cat input; echo changed >input; rm -f removed; echo 1 >checkpoint\n')
    assert machine.run_job() == (0, "")
    for expected in (b"changed\n", b"changed\n"):
        machine.completion.unlink()
        machine.power_on()
        assert machine.run_job() == (0, "")
        assert machine.archive("boinc_log.tgz")["stdout.txt"] == expected
        assert set(tree(machine.work / "job")) == {"input", "checkpoint", "results"}
    machine.completion.unlink()
    machine.power_on()
    machine.job('cd "$B2D_JOB"; cat input; ls\n')
    assert machine.run_job() == (0, "")
    assert machine.archive("boinc_log.tgz")["stdout.txt"] == b"from the hostinput\nremoved\nresults\n"


def test_without_a_disk_they_are_brought_at_every_boot(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    machine.disk = False
    machine.power_on()
    plant(machine.share, {"input": b"from the host\n"})
    machine.job('cd "$B2D_JOB"; cat input; echo changed >input\n')
    for _ in range(2):
        assert machine.run_job() == (0, "")
        assert machine.archive("boinc_log.tgz")["stdout.txt"] == b"from the host\n"
        assert "-t tmpfs -o mode=0755,size=50%,nr_inodes=0 tmpfs" in (machine.stub / "mounts").read_text()
        machine.completion.unlink()
        machine.power_on()


def test_a_half_made_beginning_is_made_anew(machine: Machine) -> None:
    plant(machine.share, {"input": b"whole"})
    machine.job("exit 0\n")
    machine.sh('work_prepare; echo half >"$B2D_JOB/input"; echo x >"$B2D_JOB/half made"', parts=PARTS)
    machine.power_on()
    machine.sh(BRING, parts=PARTS)
    assert tree(machine.work / "job") == {"input": b"whole", "results": None}


def test_an_input_that_does_not_come_whole_is_tried_again_then_refused(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    plant(machine.share, {"a": b"1", "b": b"2"})
    script = 'inputs_copy() { cp "$B2D_SHARE/a" "$B2D_WORK/job/a"; }\n'
    assert machine.sh(script + BRING, parts=PARTS) == b"the inputs cannot be copied from the host\n"
    assert machine.log().count("once more") == 2
    assert not (machine.keep / "inputs").exists()


@pytest.mark.parametrize("kind", ["fifo", "link to a directory"])
def test_what_is_no_file_is_no_input(machine: Machine, kind: str) -> None:
    plant(machine.share, {"input": b"1"})
    if kind == "fifo":
        os.mkfifo(machine.share / "odd")
    else:
        (machine.share / "odd").symlink_to("/etc")
    machine.sh(BRING, parts=PARTS)
    assert tree(machine.work / "job") == {"input": b"1", "results": None}
