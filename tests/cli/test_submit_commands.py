"""Submitting as it is typed: all forms of the command line, the classic script, what the README prints, JSON."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from boinc2docker.cli.classic import main
from tests.conftest import call, typed
from tests.equipment import documents
from tests.equipment.boinc_project import BoincProject
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH
from tests.submission.work_units import document, slot, staged, unit


def classic(*words: str) -> subprocess.CompletedProcess[str]:
    """A command line of the script that package-app puts into a project's ``bin/``."""
    argv = [sys.executable, "-P", "-m", "boinc2docker.cli.classic", *words]
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
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
    assert main(["absent.tar"]) == 2
    for wrong in (["--bogus", image], []):
        assert main(wrong) == 2


def test_the_documents_commands(boinc_project: BoincProject, image: str, checkout: Path) -> None:
    """As printed, in a checkout, with another image and this project, in their order."""
    (checkout / "jobs.csv").write_text("n,file\n1,a\n2,b\n")
    (checkout / "data").mkdir()
    for name in "ab":
        (checkout / "data" / name).write_text(name)
    lines = documents.run_in_a_project()
    for line in lines:
        words = [word.replace(documents.PROJECT, str(boinc_project.root)) for word in shlex.split(line)]
        words = [
            image if word in ("python:3-slim", "hello.tar") else word.replace("1..1000", "1..100") for word in words
        ]
        done = typed(words, checkout)
        assert done.returncode == 0, (line, done.stderr)
    assert len(lines) > 9
    names = [row["name"] for row in boinc_project.rows("select name from workunit")]
    assert sum(name.startswith("boinc2docker_sweep_") for name in names) == 100
    reported = [json.loads(line) for line in (checkout / "jobs.jsonl").read_text().splitlines()]
    assert {row["name"] for row in reported} <= set(names)
    assert len(names) == 105, "a job, a hundred of a sweep, two of a batch, one with an input, one of an archive"


def test_the_documents_python(boinc_project: BoincProject, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = PROJECT_ROOT / "docs" / "reference" / "python.md"
    [text] = [text for language, text in documents.blocks(page) if language == "python" and "submit(" in text]
    text = text.replace('"python:3-slim"', repr(image)).replace(
        "/home/boincadm/projects/sample", str(boinc_project.root)
    )
    exec(text, {})
    name, number = capsys.readouterr().out.split()
    row = unit(boinc_project, name)
    assert (str(row["id"]), row["min_quorum"], row["priority"]) == (number, 2, 5)


def test_two_submitters_of_the_same_image_at_once(boinc_project: BoincProject, image: str) -> None:
    argv = [sys.executable, "-P", "-m", "boinc2docker.cli.classic", "--project", boinc_project.root, "--json"]
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
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
