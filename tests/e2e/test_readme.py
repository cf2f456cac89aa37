"""Every command of the documents is run: here, or by the test that ``tests/equipment/documents.py`` names."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import call, typed
from tests.equipment import documents
from tests.equipment.checkout import PROJECT_ROOT


def test_the_readme_begins_with_its_two_commands() -> None:
    build, run, *_ = documents.commands()
    assert (build, run.split()[:3]) == ("ci/invoke build-iso", ["ci/invoke", "run", "python:3-slim"])


def test_every_exception_is_a_command_of_a_document() -> None:
    assert documents.ELSEWHERE.keys() <= set(documents.commands()), "a command is gone, or its block is not seen"


def test_commands_are_run_in_order(iso: Path, checkout: Path) -> None:
    """In one checkout, as a reader would: what is not run elsewhere ends with 0 here."""
    (checkout / "build").mkdir()
    shutil.copy(iso, checkout / "build" / "boinc2docker-2.0.0.iso")
    (checkout / "build" / "scratch" / "boinc2docker" / "v1" / "layers" / "sha256").mkdir(parents=True)
    run = 0
    for line in documents.run_in_a_checkout():
        done = typed(shlex.split(line), checkout)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout, line
        run += 1
    assert run >= 4
    assert (checkout / "build" / "boinc2docker-2.0.0.iso").read_bytes() == iso.read_bytes(), "--reset left something"


def test_update_base_from_the_network(tmp_path: Path) -> None:
    """Resolves from the real signed index, in a copy: the lock of the checkout stays as it is."""
    for name in ("builder", "guest", "ci"):
        shutil.copytree(PROJECT_ROOT / name, tmp_path / name)
    shutil.copy(PROJECT_ROOT / "tasks.py", tmp_path / "tasks.py")
    done = subprocess.run(
        [sys.executable, "-m", "boinc2docker.cli.program", "update-base"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'builder'}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and "cannot download" in done.stderr:
        pytest.skip(f"no Debian mirror can be reached: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_bench_measures_ratios() -> None:
    done = call("bench", "--quick")
    assert done.returncode == 0, done.stderr
    assert re.search(r"remaster against cp: \d+\.\d\d×", done.stdout)
