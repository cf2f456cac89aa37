"""One job, from the command line to the work unit in the database."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import PROJECT_ROOT
from builder.errors import BuilderError, NetworkError
from builder.work import Access, Delivery, Job, Shape, WorkUnitOptions, parse_input, submit, submit_command, try_out
from builder.work.boinc.classic import main
from builder.work.boinc.project import Project
from ci.real_registry import DOCKER_LAYER, RealRegistry
from tests.conftest import call, typed
from tests.e2e.test_readme import ELSEWHERE, SUBMITTING
from tests.work.archives import ARM, Sample, old_docker, sha, tar
from tests.work.boinc.project import BoincProject


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "image.tar"
    path.write_bytes(tar(old_docker(Sample())))
    return str(path)


def unit(project: BoincProject, name: str) -> dict[str, Any]:
    [row] = project.rows("select * from workunit where name = %s", name)
    return row


def document(row: dict[str, Any]) -> ET.Element:
    return ET.fromstring(
        f"<x>{row['xml_doc']}</x>" if isinstance(row["xml_doc"], str) else f"<x>{row['xml_doc'].decode()}</x>"
    )


def slot(root: ET.Element) -> dict[str, str]:
    """Open names and the files behind them."""
    return {one.findtext("open_name", ""): one.findtext("file_name", "") for one in root.iterfind("workunit/file_ref")}


def staged(project: BoincProject) -> dict[str, Path]:
    found = {path.name: path for path in (project.root / "download").rglob("b2d_*") if path.suffix != ".md5"}
    for name, path in found.items():
        assert (
            path.with_name(f"{name}.md5").read_text()
            == f"{hashlib.md5(path.read_bytes()).hexdigest()} {path.stat().st_size}\n"
        )
        assert path.parent.name == f"{int(hashlib.md5(name.encode()).hexdigest()[1:8], 16) % 1024:x}"
    return found


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


def classic(*words: str) -> subprocess.CompletedProcess[str]:
    """A command line of the script that package-app puts into a project's ``bin/``."""
    argv = [sys.executable, "-P", "-m", "builder.work.boinc.classic", *words]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


SAME = [
    ["IMAGE", "python -c \"print('Hello BOINC')\""],
    ["IMAGE", "--", "python", "-c", "print('Hello BOINC')"],
    ["IMAGE", "python", "-c", "print('Hello BOINC')"],
]


def test_a_dry_run_needs_no_project_and_all_forms_are_the_same_job(image: str, tmp_path: Path) -> None:
    found = []
    for number, given in enumerate(SAME):
        words = [image if word == "IMAGE" else word for word in given]
        options = ["--dry-run", "--json", "--output", str(tmp_path / str(number)), "--wu_name", "j", "-e", "A=1"]
        end = words.index("--") if "--" in words else len(words)
        done = classic(*options, *words) if number == 2 else call("submit", *words[:end], *options, *words[end:])
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert set(told) == {"image", "digest", "workunits", "staged_bytes", "job", "command"}
        job = Path(told["job"])
        assert f"--wu_template {job.parent}/boinc/input_template.xml b2d_app_" in told["command"]
        found.append({str(path.relative_to(job)): path.read_bytes() for path in job.rglob("*") if path.is_file()})
    assert found[0] == found[1] == found[2]
    assert b"job_run '--env=A=1' '--' 'python' '-c' 'print('\\''Hello BOINC'\\'')'\n" in found[0]["boinc_app"]
    assert sorted(found[0]) == sorted({"boinc_app", *(name for name in found[0] if name.startswith("image/"))})


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
    ({"name": "a", "wu_name": "b"}, "two-names"),
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
    ({"via": "pigeon"}, "bad-via"),
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
        with pytest.raises(BuilderError, match=r"cannot carry|server can carry"):
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


def test_json_is_what_scripts_rely_on(boinc_project: BoincProject, image: str) -> None:
    done = call("submit", image, "--project", boinc_project.root, "--json", "--", "x")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    [made] = boinc_project.rows("select id, name from workunit")
    assert told["workunits"] == [{"name": made["name"], "id": made["id"], "outcome": "created"}]
    assert told["digest"].startswith("sha256:")


def test_the_classic_command_line(boinc_project: BoincProject, image: str) -> None:
    words = ["--project", str(boinc_project.root), "--memory", "900", "--rsc_disk_bound", "20GB", "--wu_name", "old"]
    remote = ["--remote_file", "http://x.example/f.txt", "3", "0" * 32]
    done = classic(*words, *remote, "--quiet", image, "sh", "--version", "-v", "--", "a b")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("workunit name: old (ID ")
    row = unit(boinc_project, "old")
    assert (row["rsc_disk_bound"], row["rsc_memory_bound"]) == (20 * 2**30, 900 * 2**20 + 1e8)
    names = slot(document(row))
    assert names["shared/f.txt"] == f"jf_{'0' * 32}"
    script = staged(boinc_project)[names["shared/boinc_app"]].read_text()
    assert script.endswith("job_run '--' 'sh' '--version' '-v' '--' 'a b'\n")
    assert main(["--gpus", "all", image]) == 2
    assert main(["absent.tar"]) == 1
    for wrong in (["--bogus", image], []):
        with pytest.raises(SystemExit, match="2"):
            main(wrong)


README = (PROJECT_ROOT / "README.md").read_text()


def test_the_readmes_commands(boinc_project: BoincProject, image: str, checkout: Path) -> None:
    """As printed, in a checkout, with another image and this project, in their order."""
    (checkout / "jobs.csv").write_text("n,file\n1,a\n2,b\n")
    (checkout / "data").mkdir()
    for name in "ab":
        (checkout / "data" / name).write_text(name)
    lines = [line for line in README.splitlines() if line.startswith(SUBMITTING) and line not in ELSEWHERE]
    for line in lines:
        words = [word.replace("/home/boincadm/projects/sample", str(boinc_project.root)) for word in shlex.split(line)]
        words = [image if word == "python:3-slim" else word.replace("1..1000", "1..100") for word in words]
        done = typed(words, checkout)
        assert done.returncode == 0, (line, done.stderr)
    assert len(lines) == 7
    names = [row["name"] for row in boinc_project.rows("select name from workunit")]
    assert sum(name.startswith("boinc2docker_sweep_") for name in names) == 100
    reported = [json.loads(line) for line in (checkout / "jobs.jsonl").read_text().splitlines()]
    assert {row["name"] for row in reported} <= set(names)
    assert len(names) in (103, 104), "two times the same job, at once or a second later, and two of the batch"


def test_the_readmes_python(boinc_project: BoincProject, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    [text] = re.findall(r"^```python\n(.*?submit.*?)^```", README, re.DOTALL | re.MULTILINE)
    text = text.replace('"python:3-slim"', repr(image)).replace(
        "/home/boincadm/projects/sample", str(boinc_project.root)
    )
    exec(text, {})
    name, number = capsys.readouterr().out.split()
    row = unit(boinc_project, name)
    assert (str(row["id"]), row["min_quorum"], row["priority"]) == (number, 2, 5)


def test_two_submitters_of_the_same_image_at_once(boinc_project: BoincProject, image: str) -> None:
    argv = [sys.executable, "-P", "-m", "builder.work.boinc.classic", "--project", boinc_project.root, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    both = [
        subprocess.Popen(
            [*map(str, argv), "--name", name, image, "x"], env=environment, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two", "two")
    ]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert sorted(one["workunits"][0]["outcome"] for one in told) == ["created", "created", "existed"]
    assert len(staged(boinc_project)) == 6
    assert len(boinc_project.rows("select id from workunit")) == 2


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
