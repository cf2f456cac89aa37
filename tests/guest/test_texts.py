"""Words, log lines and JSON: any bytes in, exactly the promised bytes out, under every shell."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.guest.machine import WORLDS, Machine, everyday
from tests.guest.scripts import HOME, with_needs

PROPERTY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORD = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    [
        "",
        "'",
        "''",
        "a'b",
        '"',
        "$HOME",
        "$(id)",
        "`id`",
        "\\",
        "\n",
        "a\n\n",
        "-- ",
        "-n",
        "*",
        "~",
        "é漢😀",
        "\x7f\x1b[0m",
    ]
)
DIGEST = "sha256:" + "a" * 64


@pytest.fixture(params=everyday(WORLDS))
def shell(request: pytest.FixtureRequest, make: Callable[[str], Machine]) -> Machine:
    return make(request.param)


def quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def created_words(machine: Machine, options: list[str], words: list[str]) -> list[str]:
    """What docker is asked for when a job file with these words is run by a real shell."""
    (machine.stub / f"loaded-{'a' * 64}").touch()
    line = " ".join(["job_run", *map(quoted, options), "--", *map(quoted, words)])
    # The image is taken as loaded: its files are another test's subject.
    machine.job(
        f". /opt/boinc2docker/lib/job.sh\nimage_load() {{ IMAGE={DIGEST}; }}\n"
        f"job_image 'x' '{DIGEST}' 1\njob_layer '{DIGEST}' 1 '{DIGEST}'\n{line}\n"
    )
    done = subprocess.run(
        [machine.shell, machine.share / "boinc_app"], env=machine.environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = (machine.stub / "create").read_bytes().decode().split("\0")[:-1]
    assert found[:4] == ["--name", "boinc2docker-job", "-v", f"{machine.directory}:/root/shared"]
    return found[4:]


@PROPERTY
@given(options=st.lists(WORD.filter(lambda word: word != "--"), max_size=4), words=st.lists(WORD, max_size=6))
def test_words_reach_docker_unchanged(shell: Machine, options: list[str], words: list[str]) -> None:
    assert created_words(shell, options, words) == [*options, DIGEST, *words]


def test_a_word_of_100_kb(shell: Machine) -> None:
    word = ("x" * 49 + "'") * 2000
    assert created_words(shell, [], ["sh", "-c", word]) == [DIGEST, "sh", "-c", word]


@PROPERTY
@given(data=st.binary(max_size=300) | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode))
def test_json_strings_agree_with_python(shell: Machine, data: bytes) -> None:
    (shell.root / "data").write_bytes(data)
    written = shell.sh('json_string <"$1"', str(shell.root / "data"), parts="json")
    assert written.isascii()
    assert json.loads(written) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("text", ["0", "7", "007", "0.5", "12.34", "1e9", "", "-3", "1.", ".5", "x", "3 4", "nan"])
def test_json_numbers(make: Callable[[str], Machine], text: str) -> None:
    written = make("busybox").sh('json_number "$1"', text, parts="json")
    expected = float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None
    assert json.loads(written) == expected


@PROPERTY
@given(message=st.binary(max_size=200).filter(lambda data: b"\0" not in data), code=st.integers(0, 255))
def test_the_record_is_valid_json_whatever_the_texts(shell: Machine, message: bytes, code: int) -> None:
    state = shell.run_dir / "job"
    state.mkdir(exist_ok=True)
    (state / "image").write_bytes(message)
    (shell.run_dir / "marks").write_bytes(b"docker 1.5\n" + message + b"\ndocker 9.0\nrun 2.25\n")
    written = shell.sh('AGENT_VERSION=1 AGENT_BASE=b; record_json "$1" "$2"', str(code), message, parts="record")
    record = json.loads(written)
    assert record["exit_code"] == code
    assert record["message"] == message.decode("utf-8", "replace")
    assert record["marks"]["docker"] == 1.5
    assert record["marks"]["run"] == 2.25
    assert record["layers"] == []


@PROPERTY
@given(text=st.binary(max_size=900).filter(lambda data: b"\0" not in data))
def test_an_event_is_one_short_line_of_plain_text(shell: Machine, text: bytes) -> None:
    log = shell.root / "agent.log"
    log.unlink(missing_ok=True)
    shell.sh('log run "$1"', text, parts="log")
    line = log.read_bytes()
    assert re.fullmatch(rb"b2d \d+\.\d\d run [ -~]{0,404}\n", line)
    printable = re.fullmatch(rb"[ -~]{0,400}", text)
    if printable:
        assert line.split(b" ", 3)[3] == text + b"\n"


def test_what_goes_to_the_hypervisor_is_bounded_and_the_report_still_fits(shell: Machine) -> None:
    line = "x" * 390
    shell.sh(f'n=0; while [ $n -lt 130 ]; do n=$((n + 1)); log run {line}; done; log report "exit 0"', parts="log")
    port = (shell.stub / "port").read_bytes()
    assert 45_000 < len(port) <= 48_000
    lines = port.decode().splitlines()
    assert lines[-1].endswith(" report exit 0")
    assert sum("the log is full" in one for one in lines) == 1
    assert shell.log().count(line) == 130


def test_an_unwritable_console_does_not_matter(shell: Machine) -> None:
    shell.environment |= {"B2D_CONSOLE": "/nowhere/console", "B2D_LOG": "/nowhere/log", "B2D_GUESTLOG": "/nowhere/port"}
    assert shell.sh("log run hello; echo ok", parts="log") == b"ok\n"


@PROPERTY
@given(value=WORD)
def test_site_settings_keep_their_values(shell: Machine, value: str) -> None:
    home = shell.root / "home"
    (home / "site").mkdir(parents=True, exist_ok=True)
    if not (home / "lib").exists():
        (home / "lib").symlink_to(HOME / "lib")
    (home / "site" / "settings").write_text(
        f"HTTP_PROXY={quoted(value)}\nPATH=/nowhere\nexit_now=1\n", encoding="utf-8"
    )
    environment = {**shell.environment, "B2D_HOME": str(home)}
    sources = "".join(f'. "$B2D_HOME/lib/{name}.sh"; ' for name in with_needs(["site"]))
    script = 'site_settings; printf "%s|%s" "$SITE_HTTP_PROXY" "$SITE_NO_PROXY"; ls / >/dev/null'
    done = subprocess.run([shell.shell, "-c", sources + script], env=environment, capture_output=True, check=True)
    # A shell drops newlines at the end of what it substitutes; no setting ends in one.
    assert done.stdout.decode() == value.rstrip("\n") + "|"


@PROPERTY
@given(value=WORD)
def test_quoted_words_are_read_back(shell: Machine, value: str) -> None:
    script = """{ printf "printf %%s "; site_quote "$1"; } >"$B2D_RUN/quoted"; . "$B2D_RUN/quoted" """
    assert shell.sh(script, value, parts="site").decode() == value
