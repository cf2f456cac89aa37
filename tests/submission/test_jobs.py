"""Status, cancelling, and tidying up of a project with jobs of ours, of others, and of batches with like names."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.cli.store import store_command
from boinc2docker.errors import BuilderError, HostError, InputError, UsageError
from boinc2docker.project.create_work import create
from boinc2docker.project.garbage import collect, survey, verify
from boinc2docker.project.project import Project
from boinc2docker.project.staging import stage, submitting
from boinc2docker.submission.jobs.cancel import cancel, runs
from boinc2docker.submission.jobs.selection import Selection
from boinc2docker.submission.jobs.status import status
from tests.conftest import call
from tests.equipment.boinc_project import BoincProject
from tests.project.test_create_work import APP, file_of, units

OTHER = "uppercase"


@pytest.fixture
def project(boinc_project: BoincProject) -> Project:
    return Project.open(boinc_project.root)


def make(project: Project, names: Sequence[str], app: str = APP, content: str = "same") -> list[int]:
    stage(project, [file_of(content)])
    return [one.id or 0 for one in create(project, app, (), units(names, content))]


def result(boinc_project: BoincProject, unit: int, state: int, outcome: int = 0) -> None:
    boinc_project.execute(
        "insert into result (create_time, workunitid, server_state, outcome, hostid, report_deadline, sent_time, "
        "received_time, name, validate_state, exit_status, appid, elapsed_time) "
        "values (1, %s, %s, %s, 0, 0, 0, 0, concat('r', uuid()), 0, 0, 1, 0)",
        unit,
        state,
        outcome,
    )


def names(project: Project, *terms: str, **more: object) -> list[str]:
    return [one.name for one in status(project, Selection(APP, terms, **more), each=True).units]  # type: ignore[arg-type]


def test_states(project: Project, boinc_project: BoincProject) -> None:
    kinds = ("new", "unsent", "running", "returned", "valid", "done", "failed", "cancelled")
    unit = dict(zip(kinds, make(project, kinds), strict=True))
    for kind, state, outcome in (
        ("unsent", 2, 0),
        ("running", 4, 0),
        ("running", 5, 3),
        ("returned", 5, 1),
        ("valid", 5, 1),
        ("done", 5, 1),
        ("failed", 5, 4),
        ("cancelled", 5, 5),
    ):
        result(boinc_project, unit[kind], state, outcome)
    for kind, change in (
        ("valid", "canonical_resultid=1"),
        ("done", "canonical_resultid=1, assimilate_state=2"),
        ("failed", "error_mask=2|8"),
        ("cancelled", "error_mask=24"),
    ):
        boinc_project.execute(f"update workunit set {change} where id=%s", unit[kind])
    found = status(project, Selection(APP))
    assert {one.name: one.state for one in found.units} == {
        kind: kind for kind in kinds if kind not in ("new", "unsent")
    } | {"new": "waiting", "unsent": "waiting"}
    assert found.results == {"unsent": 1, "running": 1, "success": 3, "error": 2}
    (failed,) = status(project, Selection(APP, ("failed",))).units
    assert failed.errors == ("too many errors", "too many results")


def test_what_a_term_means(project: Project, boinc_project: BoincProject, tmp_path: Path) -> None:
    boinc_project.add_app(OTHER)
    wanted = ["exp_1", "exp_2", "exp_10", "exp_2_1", "exp_x", "expo_1", "exp.a", f"{APP}_new_1", "expXa_1"]
    first, *_, last = make(project, wanted)
    make(project, ["exp_99"], OTHER)
    boinc_project.execute("update workunit set batch=7 where name in ('exp_x', 'expo_1')")
    assert names(project) == wanted
    assert names(project, "exp") == ["exp_1", "exp_2", "exp_10"]
    assert names(project, "exp_2") == ["exp_2", "exp_2_1"]
    assert names(project, "exp.a") == ["exp.a"]
    assert names(project, "new") == names(project, f"{APP}_new") == [f"{APP}_new_1"]
    assert names(project, "exp_*") == ["exp_1", "exp_2", "exp_10", "exp_2_1", "exp_x"]
    assert names(project, "exp_?") == ["exp_1", "exp_2", "exp_x"]
    assert names(project, str(first), f"{last}-{last + 5}") == ["exp_1", "expXa_1"]
    assert names(project, "exp_1", batch_id=7) == ["exp_1", "exp_x", "expo_1"]
    report = tmp_path / "report"
    report.write_text('{"name": "exp_x", "outcome": "created"}\n{"name": "exp_1", "outcome": "failed"}\n')
    assert names(project, report=report) == ["exp_x"]
    for term in ("nobody", "exp_99", "99999"):
        with pytest.raises(InputError, match="no such job"):
            names(project, term)
    for term in ("a b", "x'", "", "%"):
        with pytest.raises(UsageError):
            names(project, term)


def test_only_what_is_meant_and_open_is_cancelled(
    project: Project, boinc_project: BoincProject, tmp_path: Path
) -> None:
    boinc_project.watch("cancel_jobs", tmp_path / "log")
    boinc_project.add_app(OTHER)
    make(project, ["b_1", "b_2"])
    make(project, ["other"], OTHER)
    done, *rest = make(project, ["b_3", "b_4", "b_5", "c_1"])
    boinc_project.execute("update workunit set canonical_resultid=1, assimilate_state=2 where id=%s", done)
    result(boinc_project, rest[0], 2)
    assert cancel(project, Selection(APP, ("b",)), dry_run=True).cancelled == 4
    assert not (tmp_path / "log").exists()
    found = cancel(project, Selection(APP, ("b",)))
    assert (found.cancelled, found.over) == (4, 1)
    rows = boinc_project.rows("select name from workunit where error_mask & 16 order by id")
    assert [row["name"] for row in rows] == ["b_1", "b_2", "b_4", "b_5"]
    assert len((tmp_path / "log").read_text().splitlines()) == 2
    assert boinc_project.rows("select server_state from result") == [{"server_state": 5}]
    again = cancel(project, Selection(APP, ("b",)))
    assert (again.cancelled, again.over) == (0, 5)


def test_cancelling_that_cannot_be(project: Project, boinc_project: BoincProject) -> None:
    make(project, ["a"])
    with pytest.raises(UsageError, match="expected names, a batch"):
        cancel(project, Selection(APP))
    with pytest.raises(InputError, match="no such job"):
        cancel(project, Selection(APP, ("b",)))
    program = boinc_project.root / "bin" / "cancel_jobs"
    program.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(HostError, match="left jobs uncancelled: 1"):
        cancel(project, Selection(APP, ("a",)))
    program.write_text("#!/bin/sh\necho cannot >&2\nexit 3\n")
    with pytest.raises(HostError, match="cannot"):
        cancel(project, Selection(APP, ("a",)))


@given(st.sets(st.integers(1, 60)))
def test_runs_are_the_same_ids_without_gaps(ids: set[int]) -> None:
    found = list(runs(sorted(ids)))
    assert [one for first, last in found for one in range(first, last + 1)] == sorted(ids)
    assert all(after - last > 1 for (_, last), (after, _) in itertools.pairwise(found))


def grow_old(project: Project, *names: str, days: float = 2) -> None:
    """As if nobody had used them for some days."""
    then = time.time() - days * 86400
    for name in names:
        path = project.download_path(name)
        for one in (path, path.with_name(f"{name}.md5")):
            os.utime(one, (then, then))


def test_only_what_nobody_needs_is_removed(project: Project, boinc_project: BoincProject) -> None:
    needed, past, unused, fresh = (file_of(text) for text in ("needed", "past", "unused", "fresh"))
    make(project, ["live"], content="needed")
    (ended,) = make(project, ["ended"], content="past")
    boinc_project.execute("update workunit set file_delete_state=2 where id=%s", ended)
    stage(project, [unused, fresh])
    foreign = project.download_path("somebody_elses")
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("not ours")
    grow_old(project, needed.name, past.name, unused.name)
    dead = project.download_path(fresh.name).with_name(".b2d-xyz.part")
    dead.write_text("half")
    os.utime(foreign, (1, 1))
    planned = collect(project, dry_run=True)
    assert {one.path.name for one in planned} == {past.name, unused.name}
    assert project.download_path(past.name).exists()
    assert [one.path for one in collect(project)] == [one.path for one in planned]
    left = {path.name for path in project.download.rglob("*") if path.is_file() and "lock" not in path.name}
    assert left == {
        *(f"{one.name}{end}" for one in (needed, fresh) for end in ("", ".md5")),
        "somebody_elses",
        ".b2d-xyz.part",
    }
    stage(project, [unused])
    assert project.download_path(unused.name).read_text() == "unused"


def test_a_file_used_while_tidying_stays(
    project: Project, monkeypatch: pytest.MonkeyPatch, boinc_project: BoincProject
) -> None:
    """A submitter comes between our look and our removal: it finds the file staged, marks it, creates its job."""
    old = file_of("same")
    stage(project, [old])
    grow_old(project, old.name)
    looked = survey(project)
    assert [one.path.name for one in looked.unused(60)] == [old.name]
    monkeypatch.setattr("boinc2docker.project.garbage.survey", lambda _: looked)
    make(project, ["late"])
    assert collect(project, grace=60) == []
    assert project.download_path(old.name).exists()


def test_what_a_killed_submitter_left_goes_with_the_rest(project: Project, boinc_project: BoincProject) -> None:
    make(project, ["live"], content="needed")
    stage(project, [file_of("unused")])
    scratch = project.download / ".b2d-killed"
    (scratch / "image").mkdir(parents=True)
    part = project.download_path(file_of("unused").name).with_name(".b2d-killed.part")
    part.write_text("half")
    time.sleep(1.1)
    assert store_command("gc", project.root, grace="0s") == 0
    assert [path for path in (scratch, part, project.download_path(file_of("unused").name)) if path.exists()] == []
    assert project.download_path(file_of("needed").name).exists()


def test_a_job_made_while_tidying_waits_keeps_its_files(project: Project, boinc_project: BoincProject) -> None:
    """It was marked before we came, its work unit comes later than we would have looked."""
    make(project, ["past"])
    boinc_project.execute("update workunit set file_delete_state=2")
    old = file_of("same")
    with ThreadPoolExecutor(1) as pool:
        with submitting(project):
            grow_old(project, old.name)
            waiting = pool.submit(collect, project, grace=0)
            assert wait([waiting], timeout=0.5).not_done
            boinc_project.execute("update workunit set file_delete_state=0")
        assert waiting.result(timeout=30) == []
    assert project.download_path(old.name).exists()


def test_tidying_waits_for_submitters(project: Project) -> None:
    stage(project, [file_of("unused")])
    grow_old(project, file_of("unused").name)
    with ThreadPoolExecutor(1) as pool:
        with submitting(project):
            waiting = pool.submit(collect, project)
            assert wait([waiting], timeout=0.5).not_done
        assert len(waiting.result(timeout=30)) == 1


def test_staged_files_are_verified_and_repaired(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, half = (file_of(text) for text in ("good", "bad", "half"))
    stage(project, [good, bad, half])
    project.download_path(bad.name).write_text("dab")
    path = project.download_path(half.name)
    path.with_name(f"{path.name}.md5").write_text("0 1\n")
    found = {one.path.name for one in verify(survey(project).files)}
    assert found == {bad.name, half.name}
    assert store_command("verify", project.root) == 1
    told = capsys.readouterr().out
    assert f"{project.download_path(bad.name)}: set aside\n" in told
    assert f"{path}: its .md5 was made anew\n" in told
    assert not project.download_path(bad.name).exists(), "out of BOINC's sight"
    assert stage(project, [good, bad, half]) == 3, "and staged again"
    assert store_command("verify", project.root) == 0


def test_the_command_line(project: Project, boinc_project: BoincProject, capsys: pytest.CaptureFixture[str]) -> None:
    make(project, ["a_1", "a_2", "b"])
    assert store_command("verify", project.root) == 0
    assert store_command("ls", project.root) == 0
    assert store_command("gc", project.root, grace="1d", dry_run=True) == 0
    told = capsys.readouterr().out
    assert "1 files are right, 0 are not" in told
    assert "needed:        1" in told
    assert "would remove 0 staged files" in told
    for bad in ({"budget": "1GB"}, {"grace": "soon"}):
        with pytest.raises(BuilderError):
            store_command("gc", project.root, **bad)  # type: ignore[arg-type]
    counted = json.loads(call("status", "--project", project.root, "--json").stdout)
    assert (counted["jobs"], counted["states"]["waiting"], len(counted["workunits"])) == (3, 3, 3)
    several = call("status", "a_1", "--each", "b", "gone", "--project", project.root)
    assert [line.split()[-1] for line in several.stdout.splitlines()[:-1]] == ["a_1", "b"]
    assert several.stderr == "warning: the app boinc2docker has no such job: gone\n"
    ended = call("cancel", "a", "b", "--project", project.root)
    assert (ended.returncode, ended.stdout) == (0, "3 jobs cancelled\n")
    assert call("cancel", "a,b", "--project", project.root).stdout == "0 jobs cancelled, 3 were over already\n"
    assert call("cancel", "a", "", "--project", project.root).returncode == 2
    assert call("cancel", "--project", project.root).returncode == 2
    wrong = call("status", "nobody", "--project", project.root)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "error: the app boinc2docker has no such job: nobody" in wrong.stderr
