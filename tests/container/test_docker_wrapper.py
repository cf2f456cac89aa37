"""A work unit's files under docker_wrapper itself where it is here, and under a stand-in that keeps its contract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from boinc2docker.container.files import slot_files
from boinc2docker.container.run import lay_out
from boinc2docker.container.wrapper import Engine
from boinc2docker.digest import Digest
from boinc2docker.image.reference import Archive
from boinc2docker.job.job import Job
from boinc2docker.job.job_directory import prepare
from tests.container.test_engines import RESULTS, SAME_RESULTS
from tests.e2e.images import old_archive
from tests.equipment.boinc_client import RunningTask
from tests.equipment.checkout import PYTHON_PATH

pytestmark = pytest.mark.timeout(600)

REAL = "B2D_DOCKER_WRAPPER"
"""Environment variable: the path of a docker_wrapper that was built from BOINC's source."""
STEPS = (
    "cd /root/shared; n=$(cat step 2>/dev/null || echo 0); while [ $n -lt 9 ]; do n=$((n + 1)); echo $n >step; "
    "echo 0.$n >progress; sleep 1; done; echo $n >results/steps; echo $$ >>results/runs"
)


@pytest.fixture(params=["stand-in", "real"])
def wrapper(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line of a docker_wrapper."""
    if request.param == "real":
        if not os.environ.get(REAL):
            pytest.skip(f"{REAL} does not name a docker_wrapper built from BOINC's source")
        return [os.environ[REAL]]
    monkeypatch.setenv("PYTHONPATH", PYTHON_PATH)
    return [sys.executable, "-m", "tests.equipment.docker_wrapper"]


@pytest.fixture
def slot(tmp_path: Path) -> Path:
    made = tmp_path / "slots" / "0"
    made.mkdir(parents=True)
    return made


def lay(slot: Path, bundle: Path, script: str, **options: object) -> None:
    """A job of the busybox image, laid into the slot as the client does."""
    job = Job(command=("/bin/sh", "-c", script), **options)  # type: ignore[arg-type]
    archive = old_archive(slot.parent / "image.tar")
    prepared = prepare(job, Archive(archive), slot / "shared")
    lay_out(slot, slot_files(job, prepared.image), bundle)
    os.chown(slot, 23456, 23456)


def task(wrapper: Sequence[str], slot: Path, engine: Engine, **more: int) -> RunningTask:
    return RunningTask(wrapper, slot, engine=engine, workunit="b2d_1_000001", result="b2d_1_000001_0", **more)


def record(slot: Path) -> dict[str, object]:
    with tarfile.open(slot / "shared" / "boinc_log.tgz") as archive:
        found = archive.extractfile("job.json")
        assert found is not None
        return dict(json.load(found))


def step(slot: Path) -> int:
    path = slot / "step"
    return int(path.read_text() or 0) if path.exists() else 0


def fraction(slot: Path) -> float:
    """What docker_wrapper reads of the job's progress."""
    path = slot / "fraction_done"
    return float(path.read_text() or 0) if path.exists() else 0


def leftovers(engine: Engine) -> str:
    """Containers that are still there."""
    return subprocess.run([engine, "ps", "--all", "--quiet"], capture_output=True, text=True, check=True).stdout.strip()


def test_a_job_gives_the_machine_s_bytes(wrapper: list[str], slot: Path, engine: Engine, bundle: Path) -> None:
    lay(slot, bundle, SAME_RESULTS, user="1000:7")
    with task(wrapper, slot, engine) as running:
        assert running.wait() == 0
    assert Digest.of_file(slot / "shared" / "results.tgz").hex == RESULTS
    assert "report exit 0" in (slot / "stderr.txt").read_text()
    assert leftovers(engine) == ""


def test_a_container_s_exit_code_and_its_reason_come_through(
    wrapper: list[str], slot: Path, engine: Engine, bundle: Path
) -> None:
    lay(slot, bundle, "echo the reason >&2; exit 7")
    with task(wrapper, slot, engine) as running:
        assert running.wait() == 7
    assert "the container ended with exit code 7" in (slot / "stderr.txt").read_text()
    assert "the reason" in (slot / "stderr.txt").read_text()
    assert record(slot)["exit_code"] == 7


def test_a_suspended_job_waits_and_goes_on(wrapper: list[str], slot: Path, engine: Engine, bundle: Path) -> None:
    lay(slot, bundle, STEPS)
    with task(wrapper, slot, engine) as running:
        running.until(lambda: fraction(slot) > 0, "the job's progress")
        running.ask("suspend")
        paused = ["ps", "--quiet", "--filter", "status=paused"]
        running.until(
            lambda: bool(subprocess.run([engine, *paused], capture_output=True, check=True).stdout),
            "a paused container",
        )
        stood = step(slot)
        assert stood < 9
        running.ask("resume")
        assert running.wait() == 0
    assert (slot / "results" / "steps").read_text() == "9\n"


@pytest.mark.exhaustive
def test_a_client_that_ends_finds_its_job_again(wrapper: list[str], slot: Path, engine: Engine, bundle: Path) -> None:
    lay(slot, bundle, STEPS)
    with task(wrapper, slot, engine) as running:
        running.until(lambda: step(slot) >= 2, "the second step")
        running.ask("quit")
        assert running.wait() == 0
    stood = step(slot)
    with task(wrapper, slot, engine) as running:
        assert running.wait() == 0
    assert stood < 9
    assert record(slot)["boots"] == 1
    assert len((slot / "results" / "runs").read_text().splitlines()) == 1


def test_after_a_reboot_the_job_starts_anew_with_its_files(
    wrapper: list[str], slot: Path, engine: Engine, bundle: Path
) -> None:
    lay(slot, bundle, STEPS)
    with task(wrapper, slot, engine) as running:
        running.until(lambda: step(slot) >= 2, "the second step")
    name = leftovers(engine)
    subprocess.run([engine, "kill", name], capture_output=True, check=True)  # what a power cut leaves: "exited"
    with task(wrapper, slot, engine) as running:
        assert running.wait() == 0
    assert (slot / "results" / "steps").read_text() == "9\n"
    assert record(slot)["boots"] == 2


@pytest.mark.exhaustive
def test_an_aborted_job_leaves_no_container(wrapper: list[str], slot: Path, engine: Engine, bundle: Path) -> None:
    lay(slot, bundle, "sleep 600")
    with task(wrapper, slot, engine) as running:
        running.until(lambda: (slot / "results").exists(), "the agent's start")
        running.ask("abort")
        assert running.wait() == 0
    assert leftovers(engine) == ""
