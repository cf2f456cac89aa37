"""What ``pytest`` alone runs, and what it runs when it is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SLOW
from tests.equipment.checkout import PROJECT_ROOT

QUICK, MACHINE = "tests/formats/test_newc.py", "tests/iso/test_boot.py"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """The project's own, with two files of tests in place of all."""
    text = (PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    paths = ", ".join(f'"{PROJECT_ROOT / name}"' for name in (QUICK, MACHINE))
    search = ", ".join(f'"{PROJECT_ROOT / name}"' for name in ("builder", "."))
    text = text.replace('testpaths = ["tests"]', f"testpaths = [{paths}]")
    text = text.replace('pythonpath = ["builder", "."]', f"pythonpath = [{search}]")
    file = tmp_path / "pyproject.toml"
    file.write_text(text, encoding="utf-8")
    return file


def collected(configuration: Path, *words: str) -> set[str]:
    """The files that have a test in the selection."""
    argv = ["-m", "pytest", "-c", str(configuration), "--rootdir", str(PROJECT_ROOT), "--collect-only", "-q", *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, *argv], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 5), done.stdout + done.stderr
    return set(re.findall(r"^(tests/\S+?\.py)::", done.stdout, re.MULTILINE))


@pytest.mark.parametrize(
    ("words", "files"),
    [
        ((), {QUICK}),
        (("--all",), {QUICK, MACHINE}),
        (("--exhaustive",), {QUICK, MACHINE}),
        ((MACHINE,), {MACHINE}),
        (("-m", "machine"), {MACHINE}),
        (("-m", "not machine and not service"), {QUICK}),
    ],
)
def test_what_is_selected(configuration: Path, words: tuple[str, ...], files: set[str]) -> None:
    assert collected(configuration, *words) == files


def test_what_is_said_to_be_slow_is_there() -> None:
    assert all((PROJECT_ROOT / name).exists() for name in SLOW)


def test_the_command_that_runs_all_tests_says_so() -> None:
    """A selection that it forgot to lift would pass for a success."""
    sources = [PROJECT_ROOT / "tasks.py", *(PROJECT_ROOT / "builder" / "boinc2docker" / "cli").glob("*.py")]
    runs = [text for path in sources if '"-m", "pytest"' in (text := path.read_text(encoding="utf-8"))]
    assert len(runs) == 1
    assert '"--all"' in runs[0]
