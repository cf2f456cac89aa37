"""Inputs and the job directory: everything is there, or nothing is."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from boinc2docker.errors import BuilderError, HostError, InputError
from boinc2docker.image import reference
from boinc2docker.job import inputs
from boinc2docker.job.inputs import Input
from boinc2docker.job.job import Job
from boinc2docker.job.job_directory import prepare
from tests.equipment.archives import ARM, Sample, old_docker, sha, tar


@pytest.fixture
def archive(tmp_path: Path) -> reference.Source:
    path = tmp_path / "image.tar"
    path.write_bytes(tar(old_docker(Sample())))
    return reference.Archive(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "deep" / "empty").mkdir(parents=True)
    (root / "one").write_bytes(b"1")
    (root / "deep" / "tool").write_bytes(b"#!/bin/sh\n")
    (root / "deep" / "tool").chmod(0o750)
    (root / "link").symlink_to("one")
    return root


def test_a_job_directory_has_everything(archive: reference.Source, data: Path, tmp_path: Path) -> None:
    job = Job(command=("x",), inputs=(inputs.parse(str(data)), inputs.parse(f"{data}/one:renamed/uno.txt")))
    prepared = prepare(job, archive, tmp_path / "run" / "shared")
    found = {str(path.relative_to(prepared.path)): path for path in prepared.path.rglob("*")}
    layers = {f"image/{layer.digest.hex}" for layer in prepared.image.layers}
    [archived] = [name for name in found if name.endswith(".tgz")]
    names = {".boinc2docker", archived, "renamed", "renamed/uno.txt"}
    assert set(found) == {"boinc_app", "image", f"image/{sha(Sample().config_bytes)}"} | layers | names
    assert f"job_unpack '{archived}' 'data'\n" in found["boinc_app"].read_text()
    with tarfile.open(found[archived]) as packed:
        members = {member.name: member for member in packed}
        assert list(members) == ["deep", "deep/empty", "deep/tool", "link", "one"]
        assert (packed.extractfile("link") or io.BytesIO()).read() == b"1"
    assert [members[name].mode for name in ("one", "deep/tool", "deep/empty")] == [0o644, 0o755, 0o755]
    assert {(one.mtime, one.uid, one.uname, one.linkname) for one in members.values()} == {(0, 0, "", "")}
    assert prepared.path.stat().st_mode & 0o777 == 0o755
    assert found["boinc_app"].read_text().startswith("#!/bin/sh\n# boinc2docker job, format 1\n")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["shared"]


@pytest.mark.parametrize("archive_of", [ARM, None], ids=["other-architecture", "not-an-archive"])
def test_nothing_is_left_when_the_image_is_bad(archive_of: Sample | None, tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(tar(old_docker(archive_of)) if archive_of else b"x" * 5000)
    with pytest.raises(InputError):
        prepare(Job(command=("x",)), reference.Archive(path), tmp_path / "run" / "shared")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_job_that_cannot_work_never_reads_the_image(data: Path, tmp_path: Path) -> None:
    absent = reference.Archive(tmp_path / "absent.tar")
    (data / "pipe").write_bytes(b"")
    (data / "pipe").unlink()
    os.mkfifo(data / "pipe")
    for job in (Job(command=("x" * 200_000,)), Job(command=("x",), inputs=(Input(data, "data"),))):
        with pytest.raises(InputError):
            prepare(job, absent, tmp_path / "run" / "shared")
    with pytest.raises(InputError):
        Job(command=("x",), inputs=(Input(data / "one", "a"), Input(data / "one", "A")))
    assert not (tmp_path / "run").exists()


def test_an_existing_directory_is_left_alone(archive: reference.Source, tmp_path: Path) -> None:
    target = tmp_path / "shared"
    target.mkdir()
    with pytest.raises(HostError, match="exists already"):
        prepare(Job(command=("x",)), archive, target)
    assert list(target.iterdir()) == []


def test_a_full_disk_leaves_nothing(archive: reference.Source, tmp_path: Path, tiny_disk: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(3 << 20))
    with pytest.raises(HostError) as caught:
        prepare(Job(command=("x",), inputs=(Input(tmp_path / "big", "big"),)), archive, tiny_disk / "shared")
    assert caught.value.code == "disk-full"
    assert list(tiny_disk.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        *(
            "results",
            "Results",
            "boinc_app",
            "image",
            "heartbeat",
            "results.tgz",
            ".boinc2docker/x",
            "image/x",
            "progress",
            "init_data.xml",
            "canary",
            "cmdline",
            "report",
            "Heartbeat.part",
            "completion_trigger_file.part",
            "canary.part/x",
        ),
        *("", "/abs", "../x", "a/../b", "a//b", ".", "a/"),
        *("a..b", "100%", "a\\b", "c:d", "what?", "end.", "end ", "a\nb", "\ud800x", "x" * 201),
    ],
)
def test_names_that_cannot_be_inputs(name: str, data: Path) -> None:
    with pytest.raises(InputError) as caught:
        inputs.check_name(name)
    caught.value.message.encode()
    with pytest.raises(InputError):
        list(inputs.files_of(Input(data, name)))


@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("a", "a/b"), ("x/y", "x/y/z"), ("é", "É")])
def test_inputs_in_each_others_way(names: tuple[str, str], data: Path) -> None:
    with pytest.raises(InputError) as caught:
        inputs.check_together(Input(data / "one", name) for name in names)
    assert caught.value.code == "duplicate-input"


def test_inputs_side_by_side(data: Path) -> None:
    inputs.check_together(Input(data / "one", name) for name in ("a/b", "a/c", "ab", "a b", "a.part", "in/report"))


def test_input_arguments(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    (data / "odd:name").touch()
    assert inputs.parse("one") == Input(Path("one"), "one")
    assert inputs.parse("one:two") == Input(Path("one"), "two")
    assert inputs.parse(".").name == "data"
    for text in ("", "absent", "absent:x", "one:", "one:../x", "odd:name"):
        with pytest.raises(InputError):
            inputs.parse(text)
    assert inputs.parse("odd:name:fine").name == "fine"


def test_links_that_cannot_be_followed_are_named(data: Path) -> None:
    (data / "deep" / "up").symlink_to("..")
    with pytest.raises(BuilderError, match="contains it"):
        list(inputs.files_of(Input(data, "data")))
    (data / "deep" / "up").unlink()
    (data / "dangling").symlink_to("nowhere")
    with pytest.raises(InputError, match="dangling"):
        list(inputs.files_of(Input(data, "data")))
