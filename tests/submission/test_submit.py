"""One job, from what is asked for to the work unit in the database."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boinc2docker.cli.submit import submit_command
from boinc2docker.errors import BuilderError, NetworkError
from boinc2docker.image.delivery import Delivery
from boinc2docker.image.registry import Access
from boinc2docker.job.inputs import parse as parse_input
from boinc2docker.job.job import Job
from boinc2docker.project.project import Project
from boinc2docker.submission.options import WorkUnitOptions
from boinc2docker.submission.shape import Shape
from boinc2docker.submission.submit import submit, try_out
from tests.equipment.archives import ARM, Sample, old_docker, sha, tar
from tests.equipment.boinc_project import BoincProject
from tests.equipment.real_registry import DOCKER_LAYER, RealRegistry
from tests.submission.work_units import document, slot, staged, unit


def test_a_job_becomes_a_work_unit(boinc_project: BoincProject, image: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("1")
    (tmp_path / "one.txt").write_text("one")
    job = Job(
        command=("sh", "-c", "echo 'it''s'"),
        inputs=(parse_input(str(tmp_path / "data")), parse_input(f"{tmp_path}/one.txt:in/one")),
    )
    shape = Shape(options=WorkUnitOptions(min_quorum=2, delay_bound=86400, priority=7, batch=5), memory_mb=700)
    done = submit(image, job, project=boinc_project.root, name="first", shape=shape)
    assert done.outcome.outcome == "created"
    row = unit(boinc_project, "first")
    assert done.outcome.id == row["id"]
    root = document(row)
    files = staged(boinc_project)
    names = slot(root)
    assert set(names.values()) == set(files)
    assert done.staged_bytes == sum(path.stat().st_size for path in files.values())
    assert files[names["shared/in/one"]].read_bytes() == b"one"
    script = files[names["shared/boinc_app"]].read_text()
    archive = next(name for name in names if name.endswith(".tgz")).removeprefix("shared/")
    assert f"job_unpack '{archive}' 'data'\n" in script
    layers = [
        line.split("'")[1].removeprefix("sha256:") for line in script.splitlines() if line.startswith("job_layer")
    ]
    for layer in layers:
        assert hashlib.sha256(files[names[f"shared/image/{layer}"]].read_bytes()).hexdigest() == layer
    machine = ET.parse(files[names["vbox_job.xml"]]).getroot()
    assert machine.findtext("memory_size_mb") == "700"
    assert (row["min_quorum"], row["target_nresults"], row["delay_bound"]) == (2, 2, 86400)
    assert (row["priority"], row["batch"], row["max_error_results"]) == (7, 5, 3)
    assert row["rsc_memory_bound"] == 700 * 2**20 + 1e8
    assert row["rsc_fpops_bound"] >= 86400 * 4 * 20e9
    sticky = {one.findtext("name") for one in root.iterfind("file_info") if one.find("sticky") is not None}
    assert sticky == {f"b2d_layer_{layer}" for layer in layers}
    assert all(one.find("no_delete") is not None for one in root.iterfind("file_info"))


def test_the_same_job_again_stages_nothing_and_is_not_made_twice(boinc_project: BoincProject, image: str) -> None:
    job = Job(command=("x",))
    first = submit(image, job, project=boinc_project.root, name="n")
    again = submit(image, job, project=boinc_project.root, name="n")
    assert (again.outcome.outcome, again.outcome.id) == ("existed", first.outcome.id)
    other = submit(image, Job(command=("y",)), project=boinc_project.root)
    assert other.outcome.name.startswith("boinc2docker_")
    assert 0 < other.staged_bytes < 1000, "the image and the machine are there already"
    with pytest.raises(BuilderError, match="another name"):
        submit(image, Job(command=("z",)), project=boinc_project.root, name="n")
    assert len(boinc_project.rows("select id from workunit")) == 2


def test_a_dry_run_changes_nothing_in_a_project(boinc_project: BoincProject, image: str, tmp_path: Path) -> None:
    before = sorted(boinc_project.root.rglob("*"))
    done = try_out(image, Job(command=("x",)), output=tmp_path / "out", project=boinc_project.root)
    assert (done.job / "boinc_app").stat().st_mode & 0o777 == 0o755
    assert (done.job.parent / "boinc" / "vbox_job.xml").exists()
    assert sorted(boinc_project.root.rglob("*")) == before


def broken(project: BoincProject, how: str) -> None:
    root = project.root
    if how == "no config":
        (root / "config.xml").unlink()
    elif how == "config":
        (root / "config.xml").write_text("<boinc><config></config></boinc>")
    elif how == "program":
        (root / "bin" / "create_work").chmod(0o644)
    elif how == "output template":
        (root / "templates" / "boinc2docker_out").unlink()
    elif how == "windows":
        path = root / "templates" / "boinc2docker_out"
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    elif how == "vbox_job":
        (root / "templates" / "boinc2docker_vbox_job.xml").write_text("<vbox_job>")
    elif how == "plan class":
        (root / "plan_class_spec.xml").write_text(
            "<plan_classes><plan_class><name>x</name></plan_class></plan_classes>"
        )
    elif how == "version":
        project.execute("delete from app_version")
    else:
        assert how == "download"
        (root / "download").rmdir()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("no config", "no-project"),
        ("config", "no-project"),
        ("program", "program-missing"),
        ("output template", "missing-file"),
        ("windows", "bad-template"),
        ("vbox_job", "bad-xml"),
        ("plan class", "no-plan-class"),
        ("version", "no-app-version"),
        ("download", "no-download"),
    ],
)
def test_a_project_that_cannot_take_the_job(how: str, code: str, boinc_project: BoincProject, image: str) -> None:
    broken(boinc_project, how)
    with pytest.raises(BuilderError) as caught:
        submit(image, Job(command=("x",)), project=boinc_project.root)
    assert (caught.value.code, "\n" in caught.value.message) == (code, False)
    assert not list(boinc_project.root.glob("download/**/*b2d*"))
    assert not boinc_project.rows("select id from workunit")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"image": None}, "no-image"),
    ({"image": "absent.tar"}, "no-such-file"),
    ({"appname": "nothere"}, "missing-file"),
    ({"appname": "a b"}, "bad-app"),
    ({"name": "a;b"}, "bad-name"),
    ({"name": "xnodelete"}, "bad-name"),
    ({"priority": "high"}, "bad-number"),
    ({"delay_bound": "soon"}, "bad-time"),
    ({"rsc_disk_bound": "-1"}, "bad-size"),
    ({"memory": "10"}, "bad-size"),
    ({"command_line": "it's"}, "bad-text"),
    ({"target_host": "1", "target_user": "2"}, "two-targets"),
    ({"min_quorum": "3", "target_nresults": "2"}, "bad-number"),
    ({"vbox_job_xml": ["enable_gbac"]}, "bad-vbox-option"),
    ({"vbox_job_xml": ["boot_iso=true"]}, "bad-vbox-option"),
    ({"additional_xml": "<a>"}, "bad-xml"),
    ({"via": "pigeon"}, "bad-choice"),
    ({"via": "registry"}, "bad-via"),
    ({"result_template": "x" * 80}, "bad-template"),
    ({"result_template": "../out"}, "bad-template"),
    ({"app_version_num": "103"}, "no-app-version"),
    ({"input": ["absent"]}, "missing-input"),
    ({"input_url": ["ftp://x/y"]}, "bad-url"),
    ({"input_url": ["http://x/y#md5=1"]}, "bad-url"),
    ({"input_url": [f"http://x/y?{'&' * 200}"]}, "bad-url"),
    ({"input_url": ["http://x/y?a='"]}, "bad-url"),
    ({"max_total_results": "2"}, "bad-number"),
]


def test_options_that_are_refused_make_nothing(boinc_project: BoincProject, image: str) -> None:
    for given, code in REFUSED:
        with pytest.raises(BuilderError) as caught:
            submit_command({"image": image, "project": str(boinc_project.root), **given}, ["x"])
        assert caught.value.code == code, (given, caught.value.message)
    assert not list(boinc_project.root.glob("download/**/*b2d*/*"))
    assert not list(boinc_project.root.glob("download/**/b2d_*"))
    assert not boinc_project.rows("select id from workunit")


def test_names_that_the_server_cannot_carry(boinc_project: BoincProject, image: str, tmp_path: Path) -> None:
    for name in ("it's", "a&lt;b", "&#1", "&" * 30):
        (tmp_path / name).write_text("x")
        with pytest.raises(BuilderError, match=r"BOINC would garble|too long for BOINC"):
            submit(image, Job(command=("x",), inputs=(parse_input(str(tmp_path / name)),)), project=boinc_project.root)
    assert not list(boinc_project.root.glob("download/**/*b2d*"))
    names = ("é€", "R&D a& b")
    for name in names:
        (tmp_path / name).write_text("x")
    job = Job(command=("x",), inputs=tuple(parse_input(str(tmp_path / name)) for name in names))
    submit(
        image, job, project=boinc_project.root, name="odd", shape=Shape(options=WorkUnitOptions(sub_appname="a & b"))
    )
    root = document(unit(boinc_project, "odd"))
    assert {f"shared/{name}" for name in names} < set(slot(root))
    assert root.findtext("workunit/sub_appname") == "a & b"


def test_remote_inputs_are_named_to_boinc(boinc_project: BoincProject, image: str) -> None:
    body = b"far away"
    digest = hashlib.md5(body).hexdigest()
    signed = "https://data.example/a/b.csv?key=a%2Fb&signature=x%3D&lt=1"
    url = f"{signed}#name=in.csv&md5={digest}&size={len(body)}"
    code = submit_command(
        {"image": image, "project": str(boinc_project.root), "input_url": [url], "name": "far", "quiet": True}, ["x"]
    )
    assert code == 0
    [info] = [
        one
        for one in document(unit(boinc_project, "far")).iterfind("file_info")
        if one.findtext("name") == f"jf_{digest}"
    ]
    assert (info.findtext("url"), info.findtext("nbytes")) == (signed, "8")
    assert slot(document(unit(boinc_project, "far")))["shared/in.csv"] == f"jf_{digest}"


def test_the_project_is_found_where_boincs_programs_find_it(
    boinc_project: BoincProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BuilderError, match="--project"):
        Project.open(None)
    for variable in ("BOINC_PROJECT_DIR", "PROJHOME"):
        assert Project.open(None, {variable: str(boinc_project.root)}).root == boinc_project.root
    monkeypatch.chdir(boinc_project.root)
    assert Project.open(None, {}).root == boinc_project.root
    assert os.fspath(Project.open(None, {}).download_path("x")).startswith(str(boinc_project.root / "download"))


@pytest.mark.parametrize("sample", [ARM, None], ids=["other-architecture", "no-image"])
def test_an_image_that_cannot_run_stages_nothing(
    sample: Sample | None, boinc_project: BoincProject, tmp_path: Path
) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(tar(old_docker(sample)) if sample else b"no archive" * 999)
    with pytest.raises(BuilderError):
        submit(str(path), Job(command=("x",)), project=boinc_project.root)
    assert not [one for one in (boinc_project.root / "download").rglob("*") if not one.name.startswith(".boinc2docker")]


def test_an_image_in_a_registry_is_named_by_digests_and_stays_there(
    boinc_project: BoincProject, registry: RealRegistry, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default way: no layer is staged, nor even fetched; hosts are told where to get each by its digest."""
    real = socket.getaddrinfo

    def resolved(host: Any, *words: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == "registry.example" else host, *words, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    sample = Sample()
    packed = [gzip.compress(layer, mtime=0) for layer in sample.layers]
    registry.push_image("lab/pi", "1", sample.config_bytes, [(layer, DOCKER_LAYER) for layer in packed])
    sent = sum(one.sent for one in registry.answers() if "/lab/pi/blobs/" in one.path and one.method == "GET")
    host = f"registry.example:{registry.host.rpartition(':')[2]}"
    way = Delivery(access=replace(access, plain_http=True))
    done = submit(f"{host}/lab/pi:1", Job(command=("x",)), project=boinc_project.root, name="remote", delivery=way)
    assert done.outcome.outcome == "created"
    files = staged(boinc_project)
    names = slot(document(unit(boinc_project, "remote")))
    assert set(names.values()) == set(files)
    assert not any(name.startswith("b2d_layer_") for name in files)
    script = files[names["shared/boinc_app"]].read_text()
    assert f"job_registry 'http://{host}/v2/lab/pi/blobs' " in script, script
    for layer in packed:
        assert f"job_layer 'sha256:{hashlib.sha256(layer).hexdigest()}' {len(layer)} " in script
    assert sha(sample.config_bytes) in script
    fetched = sum(one.sent for one in registry.answers() if "/lab/pi/blobs/" in one.path and one.method == "GET") - sent
    assert fetched == len(sample.config_bytes)
    with pytest.raises(NetworkError):
        submit("registry.example:1/lab/pi:1", Job(command=("x",)), project=boinc_project.root, name="x", delivery=way)
    with pytest.raises(BuilderError, match="pi"):
        submit(f"{host}/lab/pi:none", Job(command=("x",)), project=boinc_project.root, name="x", delivery=way)
    assert boinc_project.rows("select * from workunit where name = 'x'") == []
