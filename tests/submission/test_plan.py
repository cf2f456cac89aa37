"""Plans: what is looked at once, and where hosts are sent for layers."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker import leftovers
from boinc2docker.cli.option import values
from boinc2docker.cli.submit import SUBMIT, delivery_to_hosts, submit_command
from boinc2docker.errors import InputError
from boinc2docker.image.delivery import Delivery, for_volunteers
from boinc2docker.image.image import BlobSource, Image
from boinc2docker.image.reference import parse
from boinc2docker.job import remote_input
from boinc2docker.job.inputs import Input
from boinc2docker.job.job import Job
from boinc2docker.job.remote_input import RemoteInput
from boinc2docker.job.shipment import ship
from boinc2docker.submission import app_files
from boinc2docker.submission.app_files import without_project
from boinc2docker.submission.plan import planning
from boinc2docker.submission.shape import Shape
from tests.equipment.archives import Sample, new_docker, tar
from tests.equipment.boinc_project import BoincProject
from tests.submission.work_units import document, slot, staged, unit

APP = "boinc2docker"


def test_a_remote_input_is_downloaded_once_however_many_jobs(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RemoteInput] = []

    def obtain(one: RemoteInput) -> tuple[RemoteInput, Path]:
        asked.append(one)
        return replace(one, md5="0" * 32, size=3), tmp_path

    monkeypatch.setattr(remote_input, "obtain", obtain)
    far = remote_input.parse("http://data.example/x")
    job = Job(command=("x",), remote_inputs=(far,))
    with planning(None, without_project(APP), parse(image), job, Shape()) as planner:
        for number in range(3):
            planner.unit(job, f"job_{number}")
            planner.forget()
    assert asked == [far]


def test_without_a_data_disk_larger_inputs_get_a_larger_machine(
    boinc_project: BoincProject, image: str, tmp_path: Path
) -> None:
    """Inputs and results lie in memory then. Each job has the machine that its work unit says, and it is staged."""
    machine = boinc_project.root / "templates" / f"{APP}_vbox_job.xml"
    machine.write_text(machine.read_text().replace("<enable_network>1</enable_network>\n", ""))
    (tmp_path / "small").write_bytes(b"x")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(600 << 20)
    rows = tmp_path / "rows.csv"
    rows.write_text("f\nsmall\nlarge\n")
    words = {"image": image, "project": str(boinc_project.root), "quiet": True}
    words |= {"batch": str(rows), "name": "b", "input": [f"{tmp_path}/{{f}}:in"]}
    assert submit_command(words, ["x"]) == 0
    files = staged(boinc_project)
    memory = []
    for number in (1, 2):
        row = unit(boinc_project, f"{APP}_b_{number}")
        given = ET.parse(files[slot(document(row))["vbox_job.xml"]]).findtext("memory_size_mb", "")
        assert row["rsc_memory_bound"] == int(given) * 2**20 + 1e8
        memory.append(int(given))
    assert memory[1] > memory[0] + 600


def test_a_directory_counts_unpacked_too(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "d" / "e" / f"{number}").write_bytes(b"x" * 5000)
    assert ship(Input(tmp_path / "d", "d"), tmp_path).unpacked == (2 + 3 * 2) * 4096
    assert ship(Input(tmp_path / "d" / "e" / "1", "x"), tmp_path).unpacked == 0


def test_an_image_of_more_layers_than_a_work_unit_names_is_refused(tmp_path: Path) -> None:
    """BOINC's database holds 65 535 bytes of XML for a work unit; a layer that travels with the job takes about 650."""

    def plan(layers: int) -> None:
        sample = Sample(layers=tuple(tar({f"file {number}": b"x"}) for number in range(layers)))
        path = tmp_path / f"{layers}.tar"
        path.write_bytes(tar(new_docker(sample)))
        job = Job(command=("x",))
        with planning(None, without_project(APP), parse(str(path)), job, Shape()) as planner:
            planner.unit(job, "job")

    plan(95)
    with pytest.raises(InputError, match=r"64511 bytes of XML; .* 110 of them are the image's layers") as error:
        plan(110)
    assert error.value.code == "too-many-layers"
    assert "registry" in str(error.value.hint)


HUB = BlobSource("https://registry-1.docker.io/v2/library/python/blobs", "https://auth.docker.io/token?x")


@pytest.mark.parametrize(
    ("mirror", "kept"),
    [
        ("http://localhost:5000", False),
        ("http://LOCALHOST:5000", False),
        ("http://127.1.2.3", False),
        ("http://[::1]:5000", False),
        ("http://192.168.1.5:5000", False),
        ("https://localhost.example.org", True),
        ("https://8.8.8.8", True),
    ],
)
def test_hosts_are_sent_where_they_get(mirror: str, kept: bool) -> None:
    source = BlobSource(f"{mirror}/v2/library/python/blobs")
    image = Image("python:3-slim", b"{}", (), sources=(source, HUB))
    assert for_volunteers(image).sources == ((source, HUB) if kept else (HUB,))
    there = replace(HUB, token_url=f"{mirror}/token")
    assert for_volunteers(replace(image, sources=(there, HUB))).sources == ((there, HUB) if kept else (HUB,))


def test_a_registry_that_no_host_can_reach_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    image = Image("x", b"{}", (), sources=(BlobSource("http://Localhost:5000/v2/x/blobs"),))
    with pytest.raises(InputError, match="on this machine, which no host can reach"):
        for_volunteers(image)
    lan = replace(image, sources=(BlobSource("https://10.0.0.7/v2/x/blobs"),))
    assert for_volunteers(lan) == lan, "a project in a network of its own"
    assert "private address" in capsys.readouterr().err
    assert for_volunteers(replace(image, sources=())).sources == (), "layers travel with the job"


def test_zstd_layers_are_for_hosts_whose_docker_is_known_to_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: set[str] = set()
    monkeypatch.setattr(app_files, "reads_zstd", lambda iso: iso.name in known)

    def reads(**more: object) -> bool:
        return delivery_to_hosts(values(SUBMIT, {"image": "x", "project": str(tmp_path), **more})).reads_zstd

    assert not reads(), "no ISO there: nobody knows"
    for place in ("1.02/x86_64-pc-linux-gnu__vbox64_mt/a", "1.10/x86_64-pc-linux-gnu__vbox64_mt/b", "1.10/mac/c"):
        path = tmp_path / "apps" / APP / f"{place}.iso"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert not reads()
    known |= {"a.iso", "b.iso"}
    assert not reads(), "one platform's is not known to"
    known |= {"c.iso"}
    known -= {"a.iso"}
    assert reads(), "a.iso is sent to no host any more"
    assert not reads(app_version_num="102")
    assert not Delivery().reads_zstd


def test_what_is_damaged_is_replaced_on_request(boinc_project: BoincProject, image: str, tmp_path: Path) -> None:
    """Of one job and of a batch, all that is staged for it; of a batch also where its jobs are there already."""
    for name in "ab":
        (tmp_path / f"dir{name}").mkdir()
        (tmp_path / f"dir{name}" / "in").write_text("3")
        (tmp_path / f"{name}.txt").write_text(f"data of {name}")
    rows = tmp_path / "rows.csv"
    rows.write_text("f\na\nb\n")
    words = {"image": image, "project": str(boinc_project.root), "quiet": True}
    one = {**words, "name": "one", "input": [f"{tmp_path}/a.txt", f"{tmp_path}/dira:d"]}
    many = {**words, "batch": str(rows), "input": [f"{tmp_path}/{{f}}.txt:in", f"{tmp_path}/dir{{f}}:d"]}
    for given in (one, many):
        assert submit_command(given, ["x"]) == 0
        good = {path: path.read_bytes() for path in staged(boinc_project).values()}
        assert {path.name.split("_")[1] for path in good} == {"app", "config", "input", "layer", "vbox"}
        for flip, more in ((1, b""), (0, b"x")):
            for path, data in good.items():
                path.write_bytes(bytes([data[0] ^ flip]) + data[1:] + more)
                os.utime(path.with_name(f"{path.name}.md5"))
            assert submit_command({**given, "force_reimport": True}, ["x"]) == 0
            assert {path: path.read_bytes() for path in staged(boinc_project).values()} == good
        for path in good:
            path.unlink()


def test_what_a_killed_submitter_held_is_removed_by_the_next(
    boinc_project: BoincProject, image: str, tmp_path: Path
) -> None:
    """A copy of a whole image lies there while work units are made."""
    download = boinc_project.root / "download"
    dead = download / ".b2d-held-abcdefgh"
    (dead / "image").mkdir(parents=True)
    with leftovers.scratch(download, prefix=".b2d-held-") as living:
        assert not dead.exists()
        (dead / "image").mkdir(parents=True)
        words = {"image": image, "project": str(boinc_project.root), "quiet": True, "name": "one"}
        assert submit_command(words, ["x"]) == 0
        assert living.is_dir()
    assert not dead.exists()
    assert not list(download.glob(".b2d-held-*"))
