"""The steps of each job, run in their order in a copy, with sudo as root and without as somebody else.

Stand-ins are there for what boots machines or needs a network: ci/invoke (which leaves behind what the real one does),
apt-get, gh, and the Python of ci/audit. Everything else is the real script.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import needs
from tests.e2e.test_fresh_clone import NOBODY, room
from tests.equipment.checkout import PROJECT_ROOT
from tests.release import sample_release
from tests.release.test_audit import PYTHON
from tests.release.test_make import git
from tests.release.test_workflows import WORKFLOWS, read

__all__ = ["room"]
LOCK = "guest/debian/packages.lock"
INVOKE = """\
#!/bin/sh
set -eu
mkdir -p build .venv
case $1 in
update-base)
	mkdir -p "$3"
	{ cat guest/debian/packages.lock && echo '# newer'; } >"$3/packages.lock"
	echo changed >"$3/summary.md"
	;;
release) mkdir -p dist && cp -R "$SAMPLE" "dist/$3" ;;
verify-release)
	for release; do :; done
	[ -f "$release/SHA256SUMS" ]
	echo "$*" >>"$JOURNAL"
	;;
build-iso | test) ;;
*) exit 2 ;;
esac
"""
STAND_INS = {
    "sudo": 'exec "$@"',
    "gh": 'echo "gh $1 $2" >>"$JOURNAL"',
    "dpkg-query": "echo installed",
    "apt-get": "exit 9",
}


class Runner:
    """A machine of GitHub's: a checkout, one user, and root by sudo."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.journal = root, root / "bin", root / "journal"
        self.artifacts, self.sample, self.origin = root / "artifacts", root / "sample", root / "origin.git"
        for directory in (self.bin, self.artifacts, root / "asked", root / "tmp"):
            directory.mkdir()
        self.journal.touch()
        for name, text in STAND_INS.items():
            self.executable(self.bin / name, f"#!/bin/sh\n{text}\n")
        self.executable(self.bin / "python", PYTHON)
        sample_release.write(self.sample)
        self.secret = sample_release.new_key(root / "key").read_text()
        template = root / "template"
        shutil.copytree(PROJECT_ROOT / "ci", template / "ci", ignore=shutil.ignore_patterns("__pycache__"))
        (template / LOCK).parent.mkdir(parents=True)
        shutil.copy(PROJECT_ROOT / LOCK, template / LOCK)
        self.executable(template / "ci" / "invoke", INVOKE)
        git(template, "init", "-q")
        git(template, "add", ".")
        git(template, "commit", "-q", "-m", "all")
        git(root, "clone", "-q", "--bare", str(template), str(self.origin))
        git(template, "remote", "add", "origin", str(self.origin))
        self.give(root)

    @staticmethod
    def executable(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def give(self, *paths: Path) -> None:
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", *paths], check=True)

    def run(self, name: str, job: dict[str, Any]) -> None:
        """A job: a new checkout, its steps in order. The step that fails fails the test."""
        checkout = self.root / name
        shutil.copytree(self.root / "template", checkout)
        self.give(checkout)
        for step in job["steps"]:
            kind = step.get("uses", "").partition("@")[0]
            given = step.get("with", {})
            if kind == "actions/upload-artifact":
                shutil.copytree(checkout / given["path"], self.artifacts / given["name"])
            elif kind == "actions/download-artifact":
                shutil.copytree(self.artifacts / given["name"], checkout / given["path"])
                self.give(checkout / given["path"])
            elif "run" in step:
                self.step(checkout, step["run"], step.get("env", {}))

    def step(self, checkout: Path, command: str, given: dict[str, str]) -> None:
        values = {"${{ secrets.MINISIGN_KEY }}": self.secret, "${{ github.token }}": "token"}
        own = {name: values[value] for name, value in given.items()} | {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "TMPDIR": str(self.root / "tmp"),
            "GITHUB_REF_NAME": "v2.0.0",
            "SAMPLE": str(self.sample),
            "JOURNAL": str(self.journal),
            "PYTHON": str(self.bin / "python"),
            "ASKED": str(self.root / "asked"),
            "HOLE": "none",
        }
        argv = ["bash", "-e", "-c", command]
        if os.getuid() == 0 and shlex.split(command)[0] != "sudo":
            argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv]
        done = subprocess.run(argv, cwd=checkout, env=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.fixture
def runner(room: Path) -> Runner:
    needs("bash", "git", "minisign", "setpriv")
    return Runner(room)


def needed_first(jobs: dict[str, Any]) -> Iterable[str]:
    needed = {name: job.get("needs", []) for name, job in jobs.items()}
    return TopologicalSorter(
        {name: [given] if isinstance(given, str) else given for name, given in needed.items()}
    ).static_order()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_steps_of_each_job_succeed_one_after_another(runner: Runner, path: Path) -> None:
    jobs = read(path)["jobs"]
    for name in needed_first(jobs):
        runner.run(name, jobs[name])
    told = runner.journal.read_text().splitlines()
    verified = ["verify-release --unsigned dist/2.0.0", "verify-release --unsigned --rebuild dist/2.0.0"]
    expected = {
        "ci": [],
        "release": [*verified, "gh release create"],
        "update-base": ["gh pr list", "gh pr create"],
    }
    assert told == expected[path.stem]
    if path.stem == "release":
        assert len(list((runner.root / "publish").glob("dist/2.0.0/*.minisig"))) == 2
    if path.stem == "update-base":
        assert git(runner.origin, "-c", "safe.directory=*", "diff", "--name-only", "main", "base-update").split() == [
            LOCK
        ]
