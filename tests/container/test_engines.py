"""The same job under real engines, driven as docker_wrapper drives them: what comes back is the same, byte for byte."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from boinc2docker.container.files import slot_files
from boinc2docker.container.run import lay_out, run_job
from boinc2docker.container.wrapper import Engine
from boinc2docker.digest import Digest
from boinc2docker.errors import MachineError
from boinc2docker.image.reference import Archive
from boinc2docker.job.inputs import Input
from boinc2docker.job.job import Job
from boinc2docker.job.job_directory import prepare
from boinc2docker.vm.outcome import Outcome
from tests.e2e.images import old_archive

pytestmark = pytest.mark.timeout(600)

Run = Callable[..., tuple[Outcome, Path]]


@pytest.fixture
def run(tmp_path: Path, bundle: Path) -> Run:
    """Runs a job of the busybox image; its outcome and the slot."""

    def start(job: Job, engine: Engine, **config: object) -> tuple[Outcome, Path]:
        slot = tmp_path / "slot"
        slot.mkdir(parents=True)
        archive = old_archive(tmp_path / "image.tar", **config)
        prepared = prepare(job, Archive(archive), slot / "shared")
        lay_out(slot, slot_files(job, prepared.image), bundle)
        os.chown(slot, 23456, 23456)
        outcome = run_job(slot, engine, results=tmp_path / "results", log=tmp_path / "log", timeout=120)
        return outcome, slot

    return start


def test_words_variables_and_results_arrive(run: Run, engine: Engine, tmp_path: Path) -> None:
    odd = ["", "it's", 'a "b" $c `d` \\e', "new\nline\n", "--", "ünïcödé 🐳", "*", " "]
    (tmp_path / "in put.txt").write_bytes(b"zero\0byte")
    script = (
        'cd /root/shared; printf "%s\\0" "$@" >results/words; env >results/env; cat "in put.txt" >results/input; '
        "id >results/id; pwd; echo said; echo complained >&2; ln -s words results/link; mkdir -m 700 results/empty; "
        "echo 0.25 >progress; exit 7"
    )
    job = Job(
        command=("/bin/sh", "-c", script, "sh", *odd),
        environment=(("B", "mine"), ("C", "two\nlines")),
        inputs=(Input(tmp_path / "in put.txt", "in put.txt"),),
    )
    outcome, slot = run(job, engine, Env=["PATH=/bin", "A=1 2", "B=image"], WorkingDir="/work")
    assert outcome.exit_code == outcome.container_exit_code == 7
    results = tmp_path / "results"
    assert (results / "words").read_bytes() == b"".join(word.encode() + b"\0" for word in odd)
    assert (results / "input").read_bytes() == b"zero\0byte"
    environment = (results / "env").read_text()
    for line in ("A=1 2\n", "B=mine\n", "C=two\nlines\n", "PATH=/bin\n", "HOME=/\n"):
        assert line in environment
    assert "ARGS=" not in environment
    assert "B2D_" not in environment
    assert (results / "link").readlink() == Path("words")
    container = tmp_path / "log" / "container"
    assert (container / "stderr.txt").read_text() == "complained\n"
    assert (container / "stdout.txt").read_text() == "/root/shared\nsaid\n"
    record = json.loads((container / "job.json").read_text())
    assert record["runner"] == "container"
    assert record["boots"] == 1
    assert {path.stat().st_uid for path in slot.rglob("*") if path.name != "shared"} == {23456}


@pytest.mark.parametrize(("code", "words"), [(0, ("true",)), (126, ("/tmp",)), (127, ("nothing-here",))])
def test_exit_codes_are_docker_s(run: Run, engine: Engine, code: int, words: tuple[str, ...]) -> None:
    assert run(Job(command=words), engine)[0].exit_code == code


def test_the_results_are_the_same_bytes(run: Run, engine: Engine, tmp_path: Path) -> None:
    _, slot = run(Job(command=("/bin/sh", "-c", SAME_RESULTS), user="1000:7"), engine)
    assert Digest.of_file(slot / "shared" / "results.tgz").hex == RESULTS


SAME_RESULTS = (
    "cd /root/shared/results; echo x >b; echo y >a; chmod 755 a; ln a hard; ln -s a 'l k'; mkdir -m 711 d; touch d/.h"
)
RESULTS = "61bd3ecea4349b52b756378371da24221ac454855ff1033c22f8aa8c50530e56"
"""Seen under Docker first; GNU tar 1.35 and gzip 1.13 of the bundle make it everywhere."""


def test_a_hostile_job_misleads_nobody_and_leaves_nothing_running(run: Run, engine: Engine, tmp_path: Path) -> None:
    """The client takes files out of the slot's shared/ on the host, where a link would be followed."""
    script = (
        "cd /root/shared; busybox rm -rf shared; busybox ln -s /tmp shared; "
        "busybox setsid sh -c 'while :; do echo x >>/root/shared/results/late; sleep 0.1; done' & "
        "sleep 1; echo done >results/out"
    )
    outcome, slot = run(
        Job(command=("/bin/sh", "-c", script)), engine, Env=["PATH=/bin", "ODD", "-S=touch /root/shared/odd"]
    )
    assert outcome.exit_code == 0, outcome.message
    assert not (slot / "shared").is_symlink()
    assert (slot / "shared" / "results.tgz").is_file()
    assert (tmp_path / "results" / "out").read_text() == "done\n"
    late = (tmp_path / "results" / "late").read_bytes()
    assert (slot / "results" / "late").read_bytes() == late, "it wrote while the results were packed"
    assert not (slot / "odd").exists()


def test_an_engine_s_own_words_reach_the_user(tmp_path: Path, engine: Engine) -> None:
    slot = tmp_path / "slot"
    slot.mkdir()
    (slot / "Dockerfile").write_text("FROM 127.0.0.1:1/none@sha256:" + "0" * 64 + "\n")
    (slot / "job.toml").write_text("")
    with pytest.raises(MachineError, match=r"build failed: .*127\.0\.0\.1"):
        run_job(slot, engine, results=tmp_path / "results", log=tmp_path / "log")
