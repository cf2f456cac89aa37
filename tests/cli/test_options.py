"""Environment files, sizes, times and IMAGE arguments."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from docker.utils import parse_env_file
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker import sizes
from boinc2docker.cli.command import Command
from boinc2docker.cli.command_line import parse
from boinc2docker.cli.container_options import memory
from boinc2docker.cli.option import values
from boinc2docker.cli.run import COMMAND as RUN
from boinc2docker.cli.submit import COMMAND as SUBMIT
from boinc2docker.errors import InputError, UsageError
from boinc2docker.image import reference
from boinc2docker.job import variables as environment


def test_environment_follows_docker(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b'\xef\xbb\xbf# comment\r\n\n  A=1\nB="x y" \nC\nD\nA=2\r\nE=a=b\n')
    found = environment.gather([path], ["F=", "B=other", "C=mine", "G"], {"C": "host", "G": "g"})
    assert dict(found) == {"A": "2", "B": "other", "C": "mine", "E": "a=b", "F": "", "G": "g"}


@pytest.mark.parametrize("text", ["=x", "a b=c", " =", "\ta b"])
def test_bad_environment_names_the_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("OK=1\n" + text + "\n")
    with pytest.raises(InputError, match="line 2"):
        environment.gather([path], [], {})


def test_an_environment_file_must_be_there_and_be_text(tmp_path: Path) -> None:
    from boinc2docker.errors import BuilderError

    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("absent", "binary"):
        with pytest.raises(BuilderError, match=name):
            environment.gather([tmp_path / name], [], {})


NAME = st.text("ABCxyz_09", min_size=1, max_size=8).filter(lambda name: not name[0].isdigit())
VALUE = st.text(st.characters(blacklist_characters="\n\r\0", blacklist_categories=["Cs"]), max_size=20)


@given(st.dictionaries(NAME, VALUE))
def test_environment_files_read_back(variables: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    assert dict(environment.parse_file(text, {}, "env")) == variables


@given(st.dictionaries(NAME, st.text("abc =#'\"$", min_size=1, max_size=12).map(str.strip)))
def test_environment_files_agree_with_docker_py(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("env") / "env"
    path.write_text("".join(f"# {name}\n\n{name}={value}\n" for name, value in variables.items()))
    assert dict(environment.gather([path], [], {})) == parse_env_file(str(path))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512m", 512 << 20),
        ("2GB", 2 << 30),
        ("2g", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("1024", 1024),
        ("7 kb", 7168),
        ("1b", 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert sizes.parse_bytes(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1e9", "2 G B", "٢g", "0x10", "1..5"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        sizes.parse_bytes(text, "--memory")


def test_times_and_counts() -> None:
    assert [sizes.parse_seconds(text, "--timeout") for text in ("90", "90s", "1.5m", "2h", "3d")] == [
        90,
        90,
        90,
        7200,
        259200,
    ]
    for text in ("", "0", "x", "-1", "1w"):
        with pytest.raises(UsageError):
            sizes.parse_seconds(text, "--timeout")
    assert sizes.parse_count("2", "--cpus", most=32) == 2
    for text in ("0", "33", "1.5", "two", ""):
        with pytest.raises(UsageError):
            sizes.parse_count(text, "--cpus", most=32)


@pytest.mark.parametrize("command", [RUN, SUBMIT], ids=["run", "submit"])
def test_every_option_of_docker_run_works_or_says_why_not(command: Command) -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("needs docker's command line")
    told = subprocess.run([docker, "run", "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    there = re.findall(r"^ +(?:(-\w), )?(--[a-z0-9-]+)", told, re.MULTILINE)
    assert len(there) > 80
    for word in (word for pair in there for word in pair if word):
        if word in command.spellings:
            parse(command, [word, "1", "image"])
        else:
            with pytest.raises(UsageError, match=rf"^{word} cannot work in a job: \w"):
                parse(command, [word, "x", "image"])


@pytest.mark.parametrize("command", [RUN, SUBMIT], ids=["run", "submit"])
def test_what_docker_users_type_out_of_habit_changes_nothing(command: Command) -> None:
    plain = parse(command, ["-m", "2g", "image", "ls"])
    habits = ["-it", "--rm", "-d", "--platform", "linux/amd64"]
    typed = parse(command, [*habits, "-m2g", "image", "ls"])
    ignored = {"rm", "interactive", "tty", "detach", "platform", "d"}
    assert {name: typed[name] for name in plain.keys() - ignored} == {
        name: plain[name] for name in plain.keys() - ignored
    }
    assert values(command.options, typed)["memory"] == 2048
    with pytest.raises(UsageError, match="the machines are linux/amd64, found 'linux/arm64'"):
        values(command.options, parse(command, ["--platform=linux/arm64", "image"]))


@pytest.mark.parametrize(
    ("text", "mb"),
    [("2GB", 2048), ("900m", 900), ("2048", 2048), ("256", 256), ("1048576", 1 << 20), (str(2 << 30), 2048)],
)
def test_memory_is_megabytes_or_a_size(text: str, mb: int) -> None:
    assert memory(text, "--memory") == mb


@pytest.mark.parametrize("text", ["1m", "255", "lots", "", "2000000", "9TB", "1.5", "-1"])
def test_what_is_no_memory(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        memory(text, "--memory")


def test_image_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("image.tar", "odd:name.tar"):
        (tmp_path / name).touch()
    assert reference.parse("docker-daemon:busybox:1.36") == reference.LocalDocker("busybox:1.36")
    assert reference.parse("image.tar") == reference.Archive(Path("image.tar"))
    assert reference.parse("image.tar:busybox:1") == reference.Archive(Path("image.tar"), "busybox:1")
    assert reference.parse("odd:name.tar") == reference.Archive(Path("odd:name.tar"))
    assert reference.parse("odd:name.tar:a") == reference.Archive(Path("odd:name.tar"), "a")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad-image"),
        ("docker-daemon:", "bad-image"),
        ("a\nb", "bad-image"),
        ("./absent", "no-such-file"),
        ("absent.tar", "no-such-file"),
        ("Python:3-slim", "bad-reference"),
    ],
)
def test_bad_image_arguments(text: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        reference.parse(text)
    assert caught.value.code == code
