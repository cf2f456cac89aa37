"""What the words of a command line say: whose words they are, and that none is lost."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.cli.command import Command, Example
from boinc2docker.cli.command_line import parse
from boinc2docker.cli.option import Option, values
from boinc2docker.cli.run import COMMAND as RUN
from boinc2docker.cli.submit import COMMAND as SUBMIT
from boinc2docker.errors import UsageError
from boinc2docker.job.job import command_words
from tests.conftest import call

BOTH = pytest.mark.parametrize("command", [RUN, SUBMIT], ids=["run", "submit"])
PLAIN = Command(
    "plain",
    lambda _: None,
    (
        Option("first", "First.", "argument", required=True),
        Option("others", "Others.", "argument", many=True),
        Option("env", "A list.", "list", short="e"),
        Option("name", "A text.", aliases=("--title",)),
        Option("big_one", "A number.", read=lambda text, _: int(text)),
        Option("flag", "A flag.", "flag", short="f"),
        Option("kind", "A choice.", choices=("a", "b")),
        Option("three", "Three words.", "list", words=3),
        Option("level", "A level, perhaps.", short="l", fits="[1-4]"),
    ),
    (Example("plain x", "An example."),),
    refused={"--gpus": "there are none"},
)
WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), max_size=6)
ODD = st.sampled_from(
    ["--", "-c", "--name", "-", "--gpus", "a b", "", "-it", "--help", "echo", "fetch", "--json", "=x"]
)


def container(command: Command, *typed: str) -> tuple[str, ...]:
    """The container's words."""
    found = parse(command, typed)
    assert found["image"] == "IMAGE"
    return command_words(found["cmd"], found["words"])


@BOTH
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["IMAGE", "echo", "hi"], ["echo", "hi"]),
        (["IMAGE", "python", "-c", "print(1)"], ["python", "-c", "print(1)"]),
        (["--rm", "IMAGE", "ls", "-l"], ["ls", "-l"]),
        (["IMAGE", "make", "test"], ["make", "test"]),
        (["IMAGE", "echo", "fetch"], ["echo", "fetch"]),
        (["IMAGE", "git", "log", "--", "file"], ["git", "log", "--", "file"]),
        (["IMAGE", "-c", "exit"], ["-c", "exit"]),
        (["IMAGE", "python -c 'print(1)'"], ["python", "-c", "print(1)"]),
        (["IMAGE", "--", "python -c"], ["python -c"]),
        (["IMAGE", "--", "--", "-x"], ["--", "-x"]),
        (["--", "IMAGE", "ls", "-l"], ["ls", "-l"]),
        (["IMAGE", "--"], []),
        (["IMAGE"], []),
        (["IMAGE", ""], []),
        (["-e", "--", "IMAGE", "ls"], ["ls"]),
        (["IMAGE", "--user", "u", "--", "ls", "--user"], ["ls", "--user"]),
        (["IMAGE", "echo 'a  b'", "--user", "u"], ["echo", "a  b"]),
        (["IMAGE", "a b", "c"], ["a b", "c"]),
    ],
)
def test_words_after_the_image_are_the_containers(command: Command, typed: list[str], expected: list[str]) -> None:
    assert list(container(command, *typed)) == expected


@BOTH
def test_options_between_image_and_dashes_are_ours(command: Command) -> None:
    found = parse(command, ["--user", "u", "IMAGE", "-e", "A=1", "--env=B", "--", "x", "-e", "C"])
    assert (found["user"], found["env"], found["words"]) == ("u", ("A=1", "B"), ["x", "-e", "C"])
    assert parse(command, ["IMAGE", "ls -l", "-e", "A=1"])["env"] == ("A=1",)


@BOTH
@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["IMAGE", "--user", "u", "ls"], "--user follows IMAGE, where the container's words begin"),
        (["IMAGE", "--user=u"], "--user follows IMAGE"),
        (["IMAGE", "--gpus", "all"], "--gpus cannot work in a job"),
        (["IMAGE", "--usr", "u", "--", "ls"], "there is no option --usr"),
        (["IMAGE", "ls -l", "--user", "u", "more"], "expected an option or --, found 'more'"),
        (["IMAGE", "ls -l", "--user", "u", "--", "more"], "a command both before and after --"),
        (["--user"], "--user: expected USER"),
        (["-v", "/a:/b", "IMAGE"], "-v cannot work in a job"),
        (["-itv", "/a:/b", "IMAGE"], "-v cannot work in a job"),
        (["--rm=maybe", "IMAGE"], "--rm: expected true or false"),
    ],
)
def test_what_is_unclear_is_an_error_in_one_line(command: Command, typed: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse(command, typed)


@BOTH
@given(WORDS, st.lists(ODD, max_size=3))
def test_any_words_come_through_unchanged(command: Command, words: list[str], odd: list[str]) -> None:
    """After ``--`` all do; without it those whose first word is a program's name."""
    mixed = [*words, *odd, *words[:1]]
    assert container(command, "--rm", "IMAGE", "--", *mixed) == tuple(mixed)
    assert container(command, "-e", "A", "IMAGE", "program", *mixed) == ("program", *mixed)


def test_words_reach_the_job_unchanged(image: str, tmp_path: Path) -> None:
    """Through the whole program: one job, and no other command."""
    for number, words in enumerate(
        (["echo", "fetch"], ["make", "test", "--json", "-c", "a  b", ""], ["ls", "--", "-l"])
    ):
        output = tmp_path / str(number)
        done = call("submit", "--dry-run", "--json", "--output", output, image, *words)
        assert done.returncode == 0, done.stderr
        script = (Path(json.loads(done.stdout)["job"]) / "boinc_app").read_text()
        quoted = " ".join(f"'{word}'" for word in words)
        assert script.endswith(f"job_run '--' {quoted}\n")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["x", "-eA", "-e=B", "-e", "C", "--env", "-D", "--env=E"], {"env": ("A", "B", "C", "-D", "E")}),
        (["--title", "t", "x", "y", "z"], {"name": "t", "others": ("y", "z")}),
        (["--big_one", "5", "--flag=false", "x"], {"big_one": "5", "flag": False}),
        (["-fe", "A", "x"], {"flag": True, "env": ("A",)}),
        (["x", "--three", "1", "-2", "3"], {"three": (("1", "-2", "3"),)}),
        (["-l", "2", "x"], {"level": "2"}),
        (["-l", "x"], {"level": ""}),
        (["-l", "x", "-"], {"level": "", "others": ("-",)}),
        (["x", "--", "--flag"], {"flag": False, "others": ("--flag",)}),
        (["--name=", "x"], {"name": ""}),
    ],
)
def test_forms_of_options(typed: list[str], expected: dict[str, object]) -> None:
    found = parse(PLAIN, typed)
    assert {"first": "x", **{name: found[name] for name in expected}} == {"first": found["first"], **expected}


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ([], "missing-word"),
        (["x", "--nmae", "y"], "no-such-option"),
        (["x", "--flagg"], "no-such-option"),
        (["x", "-z"], "no-such-option"),
        (["x", "--three", "1", "2"], "no-value"),
        (["x", "--gpus"], "docker-option"),
    ],
)
def test_wrong_words_are_usage_errors(typed: list[str], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(PLAIN, typed)
    assert caught.value.code == code
    assert "\n" not in caught.value.message


def test_the_nearest_option_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        parse(RUN, ["--memroy", "2GB", "IMAGE"])
    assert caught.value.hint == "did you mean --memory?"


def test_a_choice_is_one_of_those_that_there_are() -> None:
    assert values(PLAIN.options, parse(PLAIN, ["x", "--kind", "b"]))["kind"] == "b"
    with pytest.raises(UsageError, match="--kind: expected a or b, found 'c'"):
        values(PLAIN.options, parse(PLAIN, ["x", "--kind", "c"]))


TEXT = st.text("ab=-/ .", min_size=1, max_size=6).filter(lambda text: not text.startswith("-"))


@given(
    st.lists(
        st.one_of(
            TEXT.map(lambda text: ["--name", text]),
            TEXT.map(lambda text: [f"--name={text}"]),
            TEXT.map(lambda text: ["--env", text]),
            TEXT.map(lambda text: ["-e", text]),
            st.just(["--flag"]),
            st.just(["-f"]),
            TEXT.map(lambda text: [text]),
        ),
        max_size=8,
    )
)
def test_options_are_read_as_pythons_own_parser_reads_them(parts: list[list[str]]) -> None:
    typed = ["x", *(word for part in parts for word in part)]
    theirs = argparse.ArgumentParser(allow_abbrev=False)
    theirs.add_argument("words", nargs="+")
    theirs.add_argument("--env", "-e", action="append", default=[])
    theirs.add_argument("--name")
    theirs.add_argument("--flag", "-f", action="store_true")
    expected = theirs.parse_intermixed_args(typed)
    found = parse(PLAIN, typed)
    assert [found["first"], *found["others"]] == expected.words
    assert (list(found["env"]), found["name"], found["flag"]) == (expected.env, expected.name, expected.flag)
