"""docker_wrapper's files: nothing of a user's reaches a shell or a Dockerfile, and what cannot work is refused."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boinc2docker.container import files
from boinc2docker.container.files import MAX_CREATE_ARGS, OWN_NAMES, slot_files, unable
from boinc2docker.container.wrapper import MAX_COMMAND, Engine, Task, Wrapper
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.image.image import BlobSource, Image, Layer
from boinc2docker.job.inputs import Input
from boinc2docker.job.job import Job

HEX = ("a" * 64, "b" * 64)
LAYERS = tuple(Layer(Digest(one), 10, Digest(one), "gzip") for one in HEX)
WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), max_size=5)


def image(*, entrypoint: list[str] | None = None, cmd: list[str] | None = None, **config: Any) -> Image:
    text = json.dumps({"config": {"Entrypoint": entrypoint, "Cmd": cmd, **config}}).encode()
    return Image("team/job:1", text, LAYERS, tuple(entrypoint or ()), tuple(cmd or ()))


IN_REGISTRY = replace(
    image(),
    pinned=f"docker.io/team/job@sha256:{'c' * 64}",
    sources=(BlobSource("https://registry.example/v2/team/job/blobs"),),
)


def test_an_image_in_a_registry_is_named_by_its_digest() -> None:
    lines = files.dockerfile(IN_REGISTRY).splitlines()
    assert lines[0] == f"FROM docker.io/team/job@sha256:{'c' * 64}"
    assert len(lines) == 6


def test_layers_that_travel_are_added_in_order() -> None:
    lines = files.dockerfile(image()).splitlines()
    assert lines[:3] == ["FROM scratch", *(f'ADD ["shared/image/{one}", "/"]' for one in HEX)]


@given(
    entrypoint=WORDS,
    cmd=WORDS,
    env=WORDS,
    user=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
@settings(max_examples=60)
def test_a_shell_reads_the_image_s_words_back(entrypoint: list[str], cmd: list[str], env: list[str], user: str) -> None:
    text = files.image_words(image(entrypoint=entrypoint, cmd=cmd, Env=env, User=user))
    script = text + (
        'show() { printf "%s:" "$#"; printf "%s\\0" "$@"; }\n'
        'for list in "$CONFIG_ENTRYPOINT" "$CONFIG_CMD" "$CONFIG_ENV"; do eval "show $list"; done\n'
        'printf "%s\\0" "$CONFIG_USER"'
    )
    said = subprocess.run(["busybox", "sh", "-c", script], capture_output=True, check=True).stdout
    expected = b""
    for words in (entrypoint, cmd, env):
        expected += f"{len(words)}:".encode() + (b"".join(word.encode() + b"\0" for word in words) or b"\0")
    assert said == expected + user.encode() + b"\0"


def test_settings_are_plain_characters() -> None:
    job = Job(
        network="none", hostname="h-1", cpus="1.5", shm_size=1 << 20, init=True, read_only=True, user="worker",
        tmpfs=("/tmp:size=1m",), ulimit=("nofile=64:128",), environment=(("A", "$(touch /tmp/x)"),),
    )  # fmt: skip
    made = tomllib.loads(files.settings(job))
    assert made["workdir"] == "/root/shared"
    assert re.fullmatch(r"[A-Za-z0-9_./:=,% -]+", made["create_args"])
    assert made["create_args"].split() == [
        "--network=none", "--hostname=h-1", "--cpus=1.5", "--shm-size=1048576", "--init", "--read-only",
        "--tmpfs=/opt/boinc2docker/run:mode=0755", "--tmpfs=/root:mode=0711", "--tmpfs=/tmp:size=1m",
        "--ulimit=nofile=64:128",
    ]  # fmt: skip


def test_a_job_without_options_has_none() -> None:
    assert tomllib.loads(files.settings(Job())) == {"workdir": "/root/shared"}


@pytest.mark.parametrize("name", [*OWN_NAMES, ".dockerignore", "boinc_finish_called"])
def test_names_of_the_slot_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError, match=re.escape(name)):
        slot_files(Job(inputs=(Input(tmp_path / "x", name),)), image())


def test_reasons_are_told() -> None:
    job = Job(tmpfs=("/a b",), ulimit=tuple(f"nofile={n}:{n}" for n in range(100, 200)))
    odd = replace(image(OnBuild=["RUN true"]), pinned="docker.io/team/unreachable@sha256:" + "0" * 64)
    reasons = list(unable(job, odd))
    assert len(reasons) == 4
    for part in ("--tmpfs", str(MAX_CREATE_ARGS), "unreachable", "ONBUILD"):
        assert any(part in reason for reason in reasons)
    assert list(unable(Job(), IN_REGISTRY)) == []


def test_a_command_that_would_be_cut_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", str)
    (tmp_path / "job.toml").write_text(f'create_args = "{"x" * MAX_COMMAND}"\n')
    with pytest.raises(InputError, match=str(MAX_COMMAND)):
        Wrapper(Engine.DOCKER, Task(tmp_path, "w", "w_0")).create_command()


def test_the_longest_options_fit_beside_the_longest_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's URL, an app and a job's name of 50 and 100 characters, twice in the command."""
    monkeypatch.setattr("shutil.which", str)
    (tmp_path / "job.toml").write_text(f'workdir = "/root/shared"\ncreate_args = "{"x" * MAX_CREATE_ARGS}"\n')
    task = Task(tmp_path, project="p" * 50, workunit="w" * 100, result="w" * 100 + "_0", cpus=64)
    assert len(Wrapper(Engine.PODMAN, task).create_command()) < MAX_COMMAND
