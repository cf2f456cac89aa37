"""Many jobs: all checked first, created once, resumed after a kill, and never twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from boinc2docker.cli.batch_options import batch_of, rows_of
from boinc2docker.cli.submit_batch import ManyJobs, submit_batch, try_batch
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, InputError, UsageError
from boinc2docker.job.job import Job
from boinc2docker.project import create_work
from boinc2docker.project.create_work import Outcome
from boinc2docker.project.project import Project
from boinc2docker.project.staging import ToStage
from boinc2docker.results.settings import BATCH_PATTERN
from boinc2docker.submission.batch.batch import Batch, check
from boinc2docker.submission.batch.batch_file import BatchFile, Row
from boinc2docker.submission.batch.report import Report, names
from boinc2docker.submission.batch.submit_many import submit_many
from boinc2docker.submission.batch.sweep import Combinations
from boinc2docker.submission.batch.sweep import parse as parse_sweep
from boinc2docker.submission.job_template import JobTemplate
from tests.conftest import call
from tests.equipment.archives import Sample, old_docker, tar
from tests.equipment.boinc_project import BoincProject
from tests.equipment.checkout import PYTHON_PATH

APP = "boinc2docker"
TEMPLATE = b"""\
<input_template>
<file_info><physical_name>b2d_config_0</physical_name><no_delete/></file_info>
<file_info><no_delete/></file_info>
<workunit>
<file_ref><open_name>shared/image/0</open_name></file_ref>
<file_ref><open_name>shared/boinc_app</open_name><copy_file/></file_ref>
</workunit>
</input_template>
"""


@dataclass(frozen=True)
class Unit:
    template: bytes
    files: tuple[ToStage, ...]

    @property
    def line_files(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.files)


class SmallPlanner:
    """Makes a job's command its only file. A command ``bad`` cannot be one."""

    def shared_files(self) -> tuple[ToStage, ...]:
        return (ToStage("b2d_config_0", b"config"),)

    def unit(self, job: Job, name: str) -> Unit:
        script = repr(job.command).encode()
        if "bad" in job.command:
            raise InputError("bad-job", "this cannot be a job")
        return Unit(TEMPLATE, (ToStage(f"b2d_app_{Digest.of(script).hex}", script),))

    def forget(self) -> None:
        pass


@dataclass(frozen=True)
class Numbers:
    """Rows without a file."""

    count: int
    columns: tuple[str, ...] = ("n",)

    def __iter__(self) -> Iterator[Row]:
        for number in range(1, self.count + 1):
            yield Row(f"row {number}", {"n": str(number)})


def numbered(count: int, name: str | None = None, command: Sequence[str] = ("run", "{n}")) -> Batch:
    return Batch(JobTemplate(Job(command=tuple(command))), Numbers(count), name)


def in_file(path: Path, content: str, name: str | None = None) -> Batch:
    path.write_text(content)
    return Batch(JobTemplate(Job(command=("{c}",))), BatchFile(path, "jobs"), name)


@pytest.fixture
def project(boinc_project: BoincProject) -> Project:
    return Project.open(boinc_project.root)


def units_of(boinc_project: BoincProject) -> list[str]:
    return [row["name"] for row in boinc_project.rows("select name from workunit order by id")]


def test_a_batch_is_created_and_told(project: Project, boinc_project: BoincProject, tmp_path: Path) -> None:
    boinc_project.watch("create_work", tmp_path / "log")
    report = tmp_path / "reports" / "report.jsonl"
    done = submit_many(project, APP, SmallPlanner(), numbered(1500), ("--batch", "17"), report=report)
    assert (done.jobs, done.created, done.existed, done.failed) == (1500, 1500, 0, 0)
    rows = boinc_project.rows("select id, name, batch, xml_doc from workunit order by id")
    assert [row["name"] for row in rows] == [f"{APP}_{done.batch}_{number}" for number in range(1, 1501)]
    assert {row["batch"] for row in rows} == {17}
    last = Digest.of(repr(("run", "1500")).encode()).hex
    assert f"<name>b2d_app_{last}</name>".encode() in rows[-1]["xml_doc"]
    told = [json.loads(line) for line in report.read_text().splitlines()]
    assert told[0] == {"name": f"{APP}_{done.batch}_1", "id": rows[0]["id"], "outcome": "created", "job": "row 1"}
    assert [(one["name"], one["id"]) for one in told] == [(row["name"], row["id"]) for row in rows]
    assert list(names(report)) == [row["name"] for row in rows]
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    sizes = [len(repr(("run", str(number)))) for number in range(1, 1501)]
    assert done.staged_bytes == sum(sizes) + len(b"config")


def test_the_same_batch_goes_on_and_another_is_another(project: Project, boinc_project: BoincProject) -> None:
    first = submit_many(project, APP, SmallPlanner(), numbered(3))
    again = submit_many(project, APP, SmallPlanner(), numbered(3))
    assert (again.batch, again.created, again.existed, again.staged_bytes) == (first.batch, 0, 3, 0)
    others = [
        submit_many(project, APP, SmallPlanner(), numbered(3, command=("other", "{n}"))),
        submit_many(project, APP, SmallPlanner(), numbered(3), ("--priority", "1")),
        submit_many(project, APP, SmallPlanner(), numbered(3, f"{APP}_mine")),
    ]
    assert len({first.batch, *(one.batch for one in others)}) == 4
    assert [one.created for one in others] == [3, 3, 3]
    changed = submit_many(project, APP, SmallPlanner(), numbered(4, "mine", ("changed", "{n}")))
    assert (changed.failed, changed.created) == (3, 1)
    assert "another job has the name boinc2docker_mine_1" in changed.reason
    assert len(units_of(boinc_project)) == 13


def test_the_assimilator_reads_the_same_batch(project: Project) -> None:
    """Where results look for a batch's name, unless told otherwise."""
    pattern = re.compile(BATCH_PATTERN.replace("{app}", APP))
    for name in (None, "sweep", f"{APP}_sweep", "a.b-c_1"):
        report = project.root / "report"
        done = submit_many(project, APP, SmallPlanner(), numbered(1, name), report=report)
        match = pattern.match(next(names(report)))
        assert match is not None
        assert match["batch"] == done.batch


def test_names_from_a_column_or_a_template(project: Project, boinc_project: BoincProject, tmp_path: Path) -> None:
    named = submit_many(project, APP, SmallPlanner(), in_file(tmp_path / "a", "c,name\nx,first\ny,second\n"))
    filled = submit_many(project, APP, SmallPlanner(), in_file(tmp_path / "b", "c,k\nx,1\ny,2\n", "t_{k}.{index}"))
    plain = submit_many(project, APP, SmallPlanner(), in_file(tmp_path / "c", "c,k\nx,1\n", "plain"))
    assert ["names of their own" in str(one) for one in (named, filled, plain)] == [True, True, False]
    assert "--report jobs.jsonl" in str(replace(named, report="jobs.jsonl"))
    assert units_of(boinc_project) == ["first", "second", "t_1.1", "t_2.2", f"{APP}_plain_1"]


BAD = (
    ("c\nx\nbad\ny\nbad\n", None, "jobs, line 3: this cannot be a job (2 of 4 jobs cannot be made)"),
    ("c,d\nx,1\ny\n", None, "jobs, line 3: expected 2 fields (c, d), found 1"),
    ("c,name\nx,a\ny,A\n", None, "jobs, line 3: jobs, line 2 has the name 'A' too"),
    ("c,name\nx,a b\n", None, "jobs, line 2: the name 'a b'"),
    ("c,name\nx,a\ny,7\n", None, "jobs, line 3: the name 7: status and cancel would take it for IDs"),
    ("c,k\nx,7\n", "{k}", "jobs, line 2: the name 7: status and cancel would take it for IDs"),
    ("c\nx\n", f"{APP}_1-100", "the name 1-100: status and cancel would take it for IDs"),
    ("c,k\nx,1\ny,1\n", "n{k}", "jobs, line 3: jobs, line 2 has the name 'n1' too"),
    ('{"c": "x"}\n{"d": "y"}\n', None, "jobs, line 2: there is no column 'c'; the columns are: index, d"),
    ("c\n", None, "the batch has no jobs"),
)


def test_a_bad_line_is_told_and_nothing_is_created(
    project: Project, boinc_project: BoincProject, tmp_path: Path
) -> None:
    for content, name, told in BAD:
        with pytest.raises(InputError) as raised:
            submit_many(project, APP, SmallPlanner(), in_file(tmp_path / "jobs", content, name))
        assert told in raised.value.message
    assert units_of(boinc_project) == []
    assert not list(project.download.rglob("b2d_*"))


def test_keep_going_leaves_bad_lines_out_and_tells_them(
    project: Project, boinc_project: BoincProject, tmp_path: Path
) -> None:
    some = in_file(tmp_path / "jobs", "c\nbad\nx\nbad\ny\nbad\n", "b")
    done = submit_many(project, APP, SmallPlanner(), some, keep_going=True, report=tmp_path / "report")
    assert (done.created, done.failed, done.jobs) == (2, 3, 5)
    assert done.reason == "jobs, line 2: this cannot be a job"
    assert units_of(boinc_project) == [f"{APP}_b_2", f"{APP}_b_4"]
    told = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
    assert [(one["name"], one["outcome"]) for one in told] == [
        (f"{APP}_b_1", "failed"),
        (f"{APP}_b_2", "created"),
        (f"{APP}_b_3", "failed"),
        (f"{APP}_b_4", "created"),
        (f"{APP}_b_5", "failed"),
    ]
    with pytest.raises(InputError, match="this cannot be a job"):
        submit_many(project, APP, SmallPlanner(), in_file(tmp_path / "jobs", "c\nbad\n"), keep_going=True)


def test_what_create_work_refuses_ends_it_unless_told_otherwise(
    project: Project, boinc_project: BoincProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create_work, "PROCESS", 2)
    (boinc_project.root / "templates" / f"{APP}_out").unlink()
    done = submit_many(project, APP, SmallPlanner(), numbered(5))
    assert (done.failed, done.created, done.jobs) == (2, 0, 5)
    assert "result template" in done.reason
    assert "not tried: 3." in str(done)
    assert submit_many(project, APP, SmallPlanner(), numbered(5), keep_going=True).failed == 5


def test_placeholders_without_a_column_and_bad_options(tmp_path: Path) -> None:
    for make, told in (
        (lambda: numbered(1, command=("{m}",)), "there is no column 'm'; the columns are: n, index"),
        (lambda: numbered(1, name="a_{m}"), "there is no column 'm'"),
        (lambda: numbered(1, name="a b"), "the name 'a b'"),
        (lambda: numbered(1, name="{n"), "--name: '{' is not a {column}"),
        (lambda: check(APP, SmallPlanner(), numbered(1), ("--wu_id", "1")), "a batch cannot use it"),
        (lambda: batch_of("17", "18"), "two IDs"),
        (lambda: batch_of(None, "x"), "--batch-id: expected a whole number"),
        (lambda: rows_of(str(tmp_path / "none"), ()).__enter__(), "cannot read the batch"),
    ):
        with pytest.raises(BuilderError) as raised:
            make()
        assert told in raised.value.message
    assert batch_of("17", None) == (None, 17)
    assert batch_of("./17", "17") == ("./17", 17)


def test_a_report_that_cannot_be_written(project: Project, boinc_project: BoincProject, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "report"):
        with pytest.raises(BuilderError, match="cannot write the report"):
            submit_many(project, APP, SmallPlanner(), numbered(2), report=path)
    assert units_of(boinc_project) == []
    (tmp_path / "other").write_text("{}\n")
    with pytest.raises(BuilderError, match="line 1: expected a line of a batch's report"):
        list(names(tmp_path / "other"))


def test_a_report_that_is_cut_short_replaces_no_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"

    def write(*ids: int) -> None:
        with Report(path) as report:
            for one in ids:
                report.add(Outcome(f"job_{one}", one, "created"), "line")
            if not ids:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_text() == "", "what happened, happened"
    write(1, 2)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(names(path)) == ["job_1", "job_2"]
    with Report(path), Report(path) as other:
        other.add(Outcome("job_3", 3, "created"), "another run at the same time")
    assert list(names(path)) == [], "of the two the last one's, and neither took the other's away"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["jobs.jsonl", "jobs.jsonl.part"]


def test_two_submitters_of_one_batch_at_once(project: Project, boinc_project: BoincProject) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: submit_many(project, APP, SmallPlanner(), numbered(400)), range(2)))
    assert sorted((one.created, one.existed) for one in done) == [(0, 400), (400, 0)]
    assert len(units_of(boinc_project)) == 400


def test_memory_does_not_grow_with_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = []
    for count in (1000, 4000):
        tracemalloc.start()
        assert check(APP, SmallPlanner(), numbered(count)).jobs == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000


KILLED = """\
import sys
from pathlib import Path
from boinc2docker.project import create_work
from boinc2docker.submission.batch.submit_many import submit_many
from boinc2docker.project.project import Project
from tests.submission.batch.test_batch import APP, SmallPlanner, numbered
create_work.PROCESS = 200
done = submit_many(Project.open(Path(sys.argv[1])), APP, SmallPlanner(), numbered(600), report=Path(sys.argv[2]))
print(done.created, done.existed)
"""


def test_a_killed_submitter_goes_on_without_a_duplicate(
    project: Project, boinc_project: BoincProject, tmp_path: Path
) -> None:
    """Killed by the kernel at three moments, its create_work left to itself; then run to its end."""
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    argv = [sys.executable, "-c", KILLED, str(boinc_project.root), str(tmp_path / "report")]
    before: list[int] = []
    for wanted in (1, 201, 350):
        child = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(units_of(boinc_project)) < wanted and time.monotonic() < deadline:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        before.append(len(units_of(boinc_project)))
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    created, existed = map(int, done.stdout.split())
    assert before[0] < 600
    assert created + existed == 600
    assert existed >= before[-1]
    found = units_of(boinc_project)
    assert len(found) == len(set(found)) == 600
    assert len((tmp_path / "report").read_text().splitlines()) == 600
    assert [one.name for one in tmp_path.glob(".report*")] == [], "what the killed ones wrote is gone"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.tar"
    path.write_bytes(tar(old_docker(Sample())))
    return path


def test_from_python(boinc_project: BoincProject, image: Path, tmp_path: Path) -> None:
    for name in "abpqrstu":
        (tmp_path / f"{name}.txt").write_text(name)
    alike = [f"{tmp_path}/{name}.txt" for name in "pqrstu"]
    job = JobTemplate(Job(command=("cat", "{f}", "{n}")), (f"{tmp_path}/{{f}}.txt:in.txt", *alike))
    rows = Combinations((parse_sweep("f=a,b"), parse_sweep("n=1..2")))
    jobs = ManyJobs(str(image), job, rows, project=boinc_project.root, name="both")
    done = submit_batch(jobs, report=tmp_path / "report")
    assert (done.created, done.failed, submit_batch(jobs).existed) == (4, 0, 4)
    documents = [row["xml_doc"].decode() for row in boinc_project.rows("select xml_doc from workunit order by id")]
    inputs = [re.findall(r"<name>(b2d_input_\w+)</name>", document) for document in documents]
    known = {name: f"b2d_input_{Digest.of(name.encode()).hex}" for name in "abpqrstu"}
    assert inputs == [[known[name] for name in f"pqrstu{own}"] for own in "aabb"], "always in the same order"
    assert len(set(documents)) == 4


def test_a_dry_run_names_the_first_job_as_it_will_be_called(image: Path, tmp_path: Path) -> None:
    rows = Combinations((parse_sweep("n=1..2"),))
    jobs = ManyJobs(str(image), JobTemplate(Job(command=("x", "{n}"))), rows, name="sweep")
    assert try_batch(jobs, tmp_path)[0].name == "boinc2docker_sweep_1"
    assert try_batch(replace(jobs, name="boinc2docker_again"), tmp_path)[0].name == "boinc2docker_again_1"
    assert try_batch(replace(jobs, name="own-{n}"), tmp_path)[0].name == "own-1"
    unnamed, count = try_batch(replace(jobs, name=None), tmp_path)
    assert re.fullmatch("boinc2docker_[0-9a-f]{12}_1", unnamed.name)
    assert count == 2


@pytest.mark.parametrize(("command", "name"), [("x", None), ("{f}", "own"), ("{{n}}", None), ("{index}", "own-{f}")])
def test_a_sweep_that_changes_nothing_is_told(command: str, name: str | None) -> None:
    rows = Combinations((parse_sweep("f=a,b"), parse_sweep("n=1..2")))
    with pytest.raises(UsageError, match=r"--sweep (f|n): \{\1\} is used nowhere, so all its jobs would be the same"):
        Batch(JobTemplate(Job(command=(command,))), rows, name)


@pytest.mark.parametrize(("text", "name"), [("name=a,b", None), ("n=1..2", "own-{n}")])
def test_a_sweep_may_only_name_the_jobs(text: str, name: str | None) -> None:
    assert len(list(Batch(JobTemplate(Job(command=("x",))), Combinations((parse_sweep(text),)), name).rows)) == 2


def test_the_command_line_tells_bad_lines(boinc_project: BoincProject, image: Path, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("f,n\nabsent,1\nimage.tar,2\n")
    words = ("submit", image, "--project", boinc_project.root, "--batch", path, "--input", f"{tmp_path}/{{f}}:in")
    wrong = call(*words, "--", "cat", "{n}")
    assert (wrong.returncode, wrong.stdout, units_of(boinc_project)) == (1, "", [])
    assert f"error: {path}, line 2: --input: there is no file" in wrong.stderr
    going = call(*words, "--keep-going", "--json", "--", "cat", "{n}")
    told = json.loads(going.stdout)
    assert (going.returncode, told["created"], told["failed"]) == (1, 1, 1)
    unknown = json.loads(call(*words, "--json", "--", "cat", "{m}").stdout)
    assert unknown["error"]["code"] == "unknown-column"
