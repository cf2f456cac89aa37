"""The rendered job: its exact text, and that every shell reads the very words back."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, UsageError
from boinc2docker.image.image import BlobSource, Image, Layer
from boinc2docker.job.job import Job, command_words
from boinc2docker.job.script import MAX_WORD, Unpacking, quote, render

SHELLS = {"ash": ["busybox", "ash"], "dash": ["dash"], "bash": ["bash"]}
IMAGE = Image(
    name="example/sample:1",
    config=b"{}",
    layers=(
        Layer(Digest("a" * 64), 10, Digest("b" * 64), "gzip"),
        Layer(Digest("c" * 64), 20, Digest("d" * 64), "none"),
    ),
)
GOLDEN = """\
#!/bin/sh
# boinc2docker job, format 1
. /opt/boinc2docker/lib/job.sh
job_option keep-failed-results
job_progress 'out/it'\\''s done'
job_prerun 'echo '\\''x'\\'''
job_postrun 'y
z'
job_unpack '.boinc2docker/a.tgz' 'data'
job_image 'example/sample:1' 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a' 2
job_layer 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' 10 \
'sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'
job_layer 'sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc' 20 \
'sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd'
job_run '--entrypoint=/bin/sh' '--workdir=/tmp' '--user=1000:100' '--network=none' '--hostname=h.example' \
'--cpus=1.5' '--shm-size=67108864' '--init' '--read-only' '--tmpfs=/root:mode=0711' \
'--tmpfs=/tmp:size=1g' '--tmpfs=/x' '--cap-drop=ALL' \
'--ulimit=nofile=10:20' '--env=A=it'\\''s' '--env=B=' '--' '-c' 'echo $A'
"""


def test_renders_the_contract() -> None:
    job = Job(
        command=("-c", "echo $A"),
        entrypoint="/bin/sh",
        environment=(("A", "it's"), ("B", "")),
        workdir="/tmp",
        user="1000:100",
        network="none",
        keep_failed_results=True,
        hostname="h.example",
        cpus="1.5",
        shm_size=64 << 20,
        init=True,
        read_only=True,
        tmpfs=("/tmp:size=1g", "/x"),
        cap_drop=("ALL",),
        ulimit=("nofile=10:20",),
        prerun="echo 'x'",
        progress_file="out/it's done",
        postrun="y\nz",
    )
    assert render(job, IMAGE, [Unpacking(".boinc2docker/a.tgz", "data")]) == GOLDEN.replace("\\\n", "")


@pytest.mark.parametrize("name", [None, "progress"])
def test_the_usual_progress_file_needs_no_line(name: str | None) -> None:
    assert "job_progress" not in render(Job(command=("x",), progress_file=name), IMAGE)


def test_layers_that_hosts_fetch_say_where_and_what_they_are() -> None:
    sources = (
        BlobSource("https://mirror.example.org/v2/library/python/blobs"),
        BlobSource(
            "https://registry-1.docker.io/v2/library/python/blobs",
            "https://auth.docker.io/token?service=registry.docker.io&scope=repository:library/python:pull",
        ),
    )
    lines = render(Job(command=("x",)), replace(IMAGE, sources=sources)).splitlines()
    assert lines[4:8] == [
        "job_registry 'https://mirror.example.org/v2/library/python/blobs' ''",
        f"job_registry '{sources[1].blobs_url}' '{sources[1].token_url}'",
        f"job_layer 'sha256:{'a' * 64}' 10 'sha256:{'b' * 64}' gzip",
        f"job_layer 'sha256:{'c' * 64}' 20 'sha256:{'d' * 64}' none",
    ]


JOB_SH = """
job_option() { :; }
job_image() { :; }
job_layer() { :; }
job_run() { for word; do printf '%s\\0' "$word"; done >"$OUT"; }
"""


def words_received(shell: str, script: str, work: Path) -> list[bytes]:
    """What ``job_run`` gets when a real shell runs ``script`` with a library that only notes its arguments."""
    library = work / "job.sh"
    library.write_text(JOB_SH)
    (work / "boinc_app").write_bytes(script.replace("/opt/boinc2docker/lib/job.sh", str(library), 1).encode())
    out = work / "words"
    subprocess.run([*SHELLS[shell], work / "boinc_app"], env={"OUT": str(out), "LC_ALL": "C"}, check=True, timeout=60)
    return out.read_bytes().split(b"\0")[:-1]


# Everything a program can be given: all of Unicode but NUL and lone surrogates; often what is special to shells.
WORD = st.text(
    st.one_of(
        st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]),
        st.sampled_from("'\"$`\\\n\r\t !#~*?&;|<>(){}[]-=\x81\x88\x7f"),
    ),
    max_size=40,
)


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=st.lists(WORD, min_size=1, max_size=8))
@example(words=["sh", "-c", "echo \"it's $HOME\" `date` \\\n\n'' \\'", "", "-n", "--", "é\u20ac\U0001f433"])
@example(words=["x" * MAX_WORD, "'" * 20_000, "\n" * 20_000])
def test_every_shell_reads_the_words_back(shell: str, words: list[str], tmp_path: Path) -> None:
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"{SHELLS[shell][0]} is not installed")
    job = Job(command=("first", *words), environment=(("V", words[0]),))
    expected = [f"--env=V={words[0]}", "--", "first", *words]
    if any(len(word.encode()) > MAX_WORD for word in expected):
        job, expected = replace(job, environment=()), expected[1:]
    script = render(job, IMAGE)
    assert words_received(shell, script, tmp_path) == [word.encode() for word in expected]


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("a\0b", "bad-word"),
        ("\ud800", "bad-word"),
        (b"\xff".decode(errors="surrogateescape"), "bad-word"),
        ("x" * (MAX_WORD + 1), "word-too-long"),
    ],
    ids=["nul", "surrogate", "not-utf8", "long"],
)
def test_words_no_program_can_receive_are_refused(word: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        quote(word)
    assert caught.value.code == code
    caught.value.message.encode()


def test_a_longest_word_is_accepted_by_the_kernel(tmp_path: Path) -> None:
    done = subprocess.run(["printf", "%s", "NAME=" + "x" * MAX_WORD], capture_output=True, check=True)
    assert len(done.stdout) == MAX_WORD + 5


def test_too_much_altogether_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        render(Job(command=("x" * 100_000,) * 11), IMAGE)
    assert caught.value.code == "command-too-long"


@pytest.mark.parametrize(
    ("job", "image", "runs"),
    [
        (Job(), IMAGE, False),
        (Job(), replace(IMAGE, command=("a",)), True),
        (Job(), replace(IMAGE, entrypoint=("a",)), True),
        (Job(command=("a",)), IMAGE, True),
        (Job(command=("",)), IMAGE, False),
        (Job(entrypoint="a"), IMAGE, True),
        (Job(entrypoint=""), replace(IMAGE, entrypoint=("a",), command=("b",)), False),
        (Job(entrypoint="", command=("a",)), IMAGE, True),
    ],
)
def test_something_must_be_run(job: Job, image: Image, runs: bool) -> None:
    if runs:
        assert "job_run" in render(job, image)
        return
    with pytest.raises(InputError) as caught:
        render(job, image)
    assert caught.value.code == "empty-command"


def test_a_command_is_split_like_a_shell_does() -> None:
    assert command_words("""python -c "print('Hello BOINC')" """, None) == ("python", "-c", "print('Hello BOINC')")
    assert command_words(None, ["python", "-c", "print('Hello BOINC')"]) == ("python", "-c", "print('Hello BOINC')")
    assert command_words(None, None) == command_words("", []) == ()
    for command, words in (('echo "x', None), ("echo", ["x"])):
        with pytest.raises(UsageError):
            command_words(command, words)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"workdir": "tmp"}, {"user": "a b"}, {"user": ""}, {"network": "x"}, {"user": "a:b:c"}),
        *({"cpus": "0"}, {"cpus": "33"}, {"cpus": "1e1"}, {"shm_size": 5}, {"hostname": "-x"}, {"hostname": "a_b"}),
        *({"tmpfs": (path,)} for path in ("x", "/", "/root", "/root/shared/x", "//root/shared", "/a/../root/shared")),
        *({"cap_drop": ("A B",)}, {"ulimit": ("nofile",)}, {"ulimit": ("x=1",)}, {"ulimit": ("core=1:2:3",)}),
        *({"prerun": "a\0b"}, {"postrun": "x" * 70_000}, {"progress_file": "../x"}),
    ],
)
def test_options_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Job(**wrong)


def test_a_value_that_looks_like_the_end_of_the_options() -> None:
    line = render(Job(entrypoint="--", command=("--", "x")), IMAGE).splitlines()[-1]
    assert line == "job_run '--entrypoint=--' '--' '--' 'x'"
