"""The program: which command a call means, help, exit codes, errors as one line, and all the ways to start it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boinc2docker import console, places, typed
from boinc2docker.cli import program
from boinc2docker.cli.command import Command, Entry, Example
from boinc2docker.cli.command_line import parse
from boinc2docker.cli.commands import COMMANDS
from boinc2docker.cli.help import explained, overview
from boinc2docker.cli.option import Option, values
from boinc2docker.errors import ExitCode, HostError, InputError, MachineError, UsageError
from tasks import ENTRIES
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH

BIN = Path(sys.executable).parent


def go(given: object) -> int | None:
    """Prints what it was given, or fails as told."""
    assert isinstance(given, dict)
    if given["fail"]:
        raise {"input": InputError, "usage": UsageError, "host": HostError, "machine": MachineError}[given["fail"]](
            "bad-thing", "expected [a], found b", hint="give a"
        )
    console.result({"words": given["words"], "name": given["name"]})
    return None


GO = Command(
    "go-on",
    go,
    (
        Option("fail", "How to fail."),
        Option("name", "A name.", group="Names", noun="NAME"),
        Option("old", "Nothing.", hidden=True),
        Option("way", "The way.", "argument", choices={"up": "Upwards.", "down": "Downwards."}, required=True),
    ),
    (Example("go-on up", "Go up."),),
    words="dashes",
)
ENTRY = Entry("go-on", "Movement", "Goes on.", lambda: GO)


def run(*words: str) -> int:
    return program.run_guarded(lambda: program.dispatch(words, [ENTRY]))


@pytest.fixture(autouse=True)
def plain() -> None:
    console.configure()
    typed.set_program("boinc2docker")


def test_a_command_gets_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("go_on", "up", "--name", "n", "--", "--name", "") == 0
    assert json.loads(capsys.readouterr().out) == {"words": ["--name", ""], "name": "n"}


@pytest.mark.parametrize(
    ("how", "code"),
    [("input", ExitCode.FAILED), ("usage", ExitCode.USAGE), ("host", ExitCode.FAILED), ("machine", ExitCode.MACHINE)],
)
def test_a_failure_is_a_line_and_a_hint(how: str, code: ExitCode, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("go-on", "up", "--fail", how) == code
    assert capsys.readouterr().err.splitlines() == ["error: expected [a], found b", "  (hint) give a"]


def test_a_failure_in_json_has_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("go-on", "up", "--fail", "input", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told == {"error": {"code": "bad-thing", "message": "expected [a], found b", "hint": "give a"}}


def test_debug_shows_where() -> None:
    with pytest.raises(InputError):
        run("go-on", "up", "--fail", "input", "--debug")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["go-in"], "there is no command 'go-in'", "did you mean `boinc2docker go-on`?"),
        (["xyz"], "there is no command 'xyz'", "`boinc2docker help` lists the commands"),
        (["--nmae"], "there is no command '--nmae'", "`boinc2docker help` lists the commands"),
        (["go-on", "up", "--nmae"], "there is no option --nmae", "did you mean --name?"),
        (["go-on", "up", "--fish"], "there is no option --fish", "`boinc2docker help go-on` lists the options"),
        (["go-on", "up", "down"], "there is a word too many: 'down'", None),
    ],
)
def test_wrong_usage_exits_2(
    words: list[str], message: str, hint: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == ExitCode.USAGE
    said = capsys.readouterr().err.splitlines()
    assert said == [f"error: {message}", *([f"  (hint) {hint}"] if hint else [])]


def test_without_its_action_a_command_lists_the_actions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("go-on") == ExitCode.USAGE
    assert "  up    Upwards.\n  down  Downwards.\n" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"], ["--list"]])
def test_help_lists_the_commands_in_groups(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 0
    assert re.search(r"^Movement:\n  go-on {19}Goes on\.$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("words", [["help", "go-on"], ["--help", "go-on"], ["go-on", "--help"], ["go-on", "up", "-h"]])
def test_help_of_a_command_is_grouped(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: boinc2docker go-on [options] up|down\n\nGoes on.\n")
    assert "Names:\n  --name NAME             A name.\n" in text
    assert "--old" not in text


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert re.fullmatch(r"boinc2docker \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_an_interruption_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert program.run_guarded(interrupted) == ExitCode.INTERRUPTED
    assert "downloads are kept" in capsys.readouterr().err


# The table itself.


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda one: one.name)
def test_every_command_is_explained(entry: Entry) -> None:
    command = entry.load()
    assert command.name == entry.name
    for text in (entry.summary, command.text or entry.summary, *(one.help for one in command.table)):
        assert re.match(r"[A-Z/.`]|\w+: |\w+ of ", text), text
        assert text.endswith((".", ").")), text
        assert "(repeatable)" not in text
    names = [one.name for one in command.table]
    assert "words" not in names, "these are what is passed on"
    assert len(names) == len(set(names)) == len({one.spelling for one in command.table})
    spellings = [word for one in command.table if one.kind != "argument" for word in one.spellings]
    assert len(spellings) == len(set(spellings)), "two options have one spelling"
    assert explained(entry, command)
    assert all(len(line) <= 120 for line in overview(ENTRIES).splitlines())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda one: one.name)
def test_every_command_has_an_example_that_is_read(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    command = entry.load()
    assert command.examples
    for example in command.examples:
        words = shlex.split(example.line.split(" > ")[0] if entry.name in ("completion", "man") else example.line)
        assert words[0] == entry.name
        values(command.options, parse(command, words[1:]))


def test_options_are_named_alike() -> None:
    """An option of several commands has one way to be given, and sizes have units."""
    shorts: dict[str, set[str]] = {}
    for entry in ENTRIES:
        for one in entry.load().options:
            if one.short:
                shorts.setdefault(one.spelling, set()).add(one.short)
            assert not one.spelling.endswith(("-mb", "-bytes")), one.spelling
    assert all(len(found) == 1 for found in shorts.values()), shorts


def test_exit_codes_are_explained() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 125, 126, 127, 130]
    assert all(code.meaning.endswith(".") for code in ExitCode)


# Ways to start it.


def start(argv: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != program.TYPED}
    return subprocess.run(
        argv,
        cwd=PROJECT_ROOT,
        env={**clean, "PYTHONPATH": PYTHON_PATH, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


MODULE = [sys.executable, "-m", "boinc2docker.cli.program"]
INVOKE = [str(BIN / "invoke")]
WAYS = pytest.mark.parametrize(
    ("way", "shown"),
    [(MODULE, "boinc2docker"), (INVOKE, "invoke"), ([sys.executable, "-m", "invoke"], "invoke")],
    ids=["boinc2docker", "invoke", "python -m invoke"],
)


@WAYS
def test_all_ways_to_start_it_are_the_same_commands(way: list[str], shown: str, image: str, tmp_path: Path) -> None:
    """With words that Invoke itself would take for options and tasks of its own."""
    for words in ([], ["help"]):
        done = start([*way, *words])
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"Usage: {shown} COMMAND")
        assert all(f"\n  {entry.name} " in done.stdout for entry in ENTRIES)
    wrong = start([*way, "submti"])
    assert wrong.returncode == 2
    assert f"did you mean `{shown} submit`?" in wrong.stderr
    words = ["submit", "--dry-run", "--json", "--output", str(tmp_path), image, "echo", "fetch", "-c", "--version"]
    done = start([*way, *words])
    assert done.returncode == 0, done.stderr
    script = (Path(json.loads(done.stdout)["job"]) / "boinc_app").read_text()
    assert script.endswith("job_run '--' 'echo' 'fetch' '-c' '--version'\n")


def test_invokes_own_options_list_the_same_commands() -> None:
    done = start([*INVOKE, "--no-dedupe", "--list"])
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert all(f" {entry.name} {entry.summary}" in told for entry in ENTRIES)


def test_hints_show_the_command_as_it_was_typed() -> None:
    done = start([*MODULE, "submti"], BOINC2DOCKER_TYPED="../my clone/ci/invoke")
    assert "did you mean `'../my clone/ci/invoke' submit`?" in done.stderr
    assert "BOINC2DOCKER_TYPED=$0" in (PROJECT_ROOT / "ci" / "invoke").read_text()


def test_installed_there_are_the_users_commands_only(tmp_path: Path) -> None:
    shutil.copytree(places.SOURCE / "boinc2docker", tmp_path / "boinc2docker")
    done = start([*MODULE, "help"], PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Maintenance" not in done.stdout
    assert all(f"\n  {entry.name} " in done.stdout for entry in COMMANDS)


def test_help_starts_fast() -> None:
    """Under 0.3 s of processor time: nothing is imported that only a command needs."""
    text = (
        "import time; began = time.process_time()\n"
        "from boinc2docker.cli import program\n"
        "try: program.main(['--help'])\n"
        "except SystemExit: pass\n"
        "import sys; print(time.process_time(), file=sys.stderr)\n"
        "heavy = {'requests', 'cryptography', 'docker', 'pycdlib', 'invoke', 'pymysql'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = start([sys.executable, "-c", text])
    assert done.returncode == 0, done.stderr
    assert min(float(start([sys.executable, "-c", text]).stderr) for _ in range(3)) < 0.3


@pytest.mark.parametrize("words", [["--help"], ["help", "run"]])
def test_a_reader_that_has_enough_ends_it_without_a_word(words: list[str]) -> None:
    """As in ``ci/invoke --help | head``."""
    process = subprocess.Popen(
        [*MODULE, *words],
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
