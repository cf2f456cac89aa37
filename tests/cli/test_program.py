"""The command line: optional words, exit codes, errors as one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boinc2docker.cli import program
from boinc2docker.option import joined
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH

TASKS = '''
from boinc2docker.errors import InputError
from boinc2docker.cli.program import command, words_after_dashes
from invoke import Context

@command(positional=["image", "cmd"], optional_positional=["cmd"], iterable=["env"], help={"image": "what to run"})
def go(c: Context, image, cmd=None, env=None, json=False, debug=False):
    """Goes."""
    from boinc2docker import console
    console.result({"image": image, "cmd": cmd, "env": env, "words": words_after_dashes()})

@command(positional=["image", "cmd"], optional_positional=["image", "cmd"])
def both(c: Context, image=None, cmd=None, job=None, json=False, debug=False):
    """Needs nothing."""
    from boinc2docker import console
    console.result({"image": image, "cmd": cmd, "job": job})

@command()
def fail(c: Context, json=False, debug=False):
    """Fails."""
    raise InputError("bad-thing", "expected [a], found b", hint="give a")
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


def call(project: Path, *words: str, door: bool = True) -> subprocess.CompletedProcess[str]:
    start = (
        [sys.executable, "-m", "boinc2docker.cli.program"] if door else [str(Path(sys.executable).parent / "invoke")]
    )
    return subprocess.run(
        [*start, *words],
        cwd=project,
        env={"PYTHONPATH": PYTHON_PATH, "PATH": "/usr/bin:/bin", "HOME": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("door", [True, False], ids=["ci/invoke", "plain invoke"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["img"], {"image": "img", "cmd": None, "env": [], "words": None}),
        (["img", "a 'b'"], {"image": "img", "cmd": "a 'b'", "env": [], "words": None}),
        (["--env", "A=1", "img", "--env", "B=2"], {"image": "img", "cmd": None, "env": ["A=1", "B=2"], "words": None}),
        (
            ["img", "--", "a  b", "--json", ""],
            {"image": "img", "cmd": None, "env": [], "words": ["a  b", "--json", ""]},
        ),
        (["img", "c", "--", "d"], {"image": "img", "cmd": "c", "env": [], "words": ["d"]}),
    ],
)
def test_words_reach_the_task(project: Path, words: list[str], expected: dict[str, object], door: bool) -> None:
    done = call(project, "go", *words, door=door)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"image": None, "cmd": None, "job": None}),
        (["--job", "j"], {"image": None, "cmd": None, "job": "j"}),
        (["i", "--job", "j"], {"image": "i", "cmd": None, "job": "j"}),
        (["i", "c"], {"image": "i", "cmd": "c", "job": None}),
    ],
)
def test_all_positional_words_may_be_optional(project: Path, words: list[str], expected: dict[str, object]) -> None:
    done = call(project, "both", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize("words", [["go"], ["go", "img", "cmd", "more"], ["go", "img", "--nonsense"], ["gone"]])
def test_wrong_usage_exits_2(project: Path, words: list[str]) -> None:
    done = call(project, *words)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_after_the_task_is_help(project: Path) -> None:
    done = call(project, "go", "--help")
    assert done.returncode == 0
    assert "what to run" in done.stdout


def test_a_failure_is_a_line_and_a_hint(project: Path) -> None:
    done = call(project, "fail")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["error: expected [a], found b", "  (hint) give a"]


def test_a_failure_in_json_has_a_code(project: Path) -> None:
    done = call(project, "fail", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "error": {"code": "bad-thing", "message": "expected [a], found b", "hint": "give a"}
    }


def test_debug_shows_where(project: Path) -> None:
    done = call(project, "fail", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


TAKING = frozenset({"--project", "-n"})


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["a", "b"], ["a,b"]),
        (["a", "--each", "b", "--project", "x", "c,d"], ["a,b,c,d", "--each", "--project", "x"]),
        (["--project=x", "-n", "1", "a"], ["--project=x", "-n", "1", "a"]),
        (["--project", "--", "a", "--", "b", "c"], ["--project", "--", "a", "--", "b", "c"]),
        (["a", ""], ["a,"]),
        ([], []),
    ],
)
def test_several_words_are_one_argument(typed: list[str], expected: list[str]) -> None:
    assert joined(typed, TAKING) == expected


def test_words_after_dashes_keeps_every_byte() -> None:
    assert program.words_after_dashes(["x", "--", "a", "--", "b c"]) == ["a", "--", "b c"]
    assert program.words_after_dashes(["x", "a"]) is None


@pytest.mark.parametrize("words", [["--help"], ["--list"]])
def test_a_reader_that_has_enough_ends_it_without_a_word(words: list[str]) -> None:
    """As in ``ci/invoke --help | head``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "boinc2docker.cli.program", *words],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == b""
    assert process.wait(60) == 1
