"""``run --with``: the command, with a real engine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from boinc2docker.container.wrapper import Engine
from tests.conftest import call
from tests.e2e.images import old_archive

pytestmark = pytest.mark.timeout(600)


def test_output_results_and_exit_code(engine: Engine, bundle: Path, tmp_path: Path) -> None:
    archive = old_archive(tmp_path / "hello.tar")
    results = tmp_path / "results"
    script = "echo said; echo complained >&2; echo hello >/root/shared/results/out.txt; exit 7"
    done = call("run", "--with", engine, "--results", results, archive, "/bin/sh", "-c", script)
    assert (done.returncode, done.stdout) == (7, "said\n"), done.stderr
    assert "complained\n" in done.stderr
    assert "exit 7: the container ended with exit code 7" in done.stderr
    assert (results / "out.txt").read_text() == "hello\n"


@pytest.mark.parametrize("engine", [Engine.DOCKER], indirect=True)
def test_json(engine: Engine, bundle: Path, tmp_path: Path) -> None:
    archive = old_archive(tmp_path / "hello.tar")
    done = call("run", "--json", "--with", engine, "--results", tmp_path / "results", archive, "true")
    told = json.loads(done.stdout)
    assert (told["exit_code"], told["acceleration"]) == (0, engine)


def test_options_of_machines_are_refused(tmp_path: Path) -> None:
    archive = old_archive(tmp_path / "hello.tar")
    done = call("run", "--with", "docker", "--disk", "20GB", archive, "true")
    assert done.returncode == 2
    assert "--disk: with --with docker there is no machine" in done.stderr


def test_an_engine_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = old_archive(tmp_path / "hello.tar")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    done = call("run", "--with", "podman", archive, "true")
    assert done.returncode == 1
    assert "podman is not on this machine" in done.stderr
