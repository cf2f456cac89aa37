"""Work units through create_work: created once, confirmed, whatever create_work reports and whoever else is at it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.errors import BuilderError
from boinc2docker.project import create_work
from boinc2docker.project.create_work import Creation, Outcome, create, line
from boinc2docker.project.project import Project
from boinc2docker.project.staging import ToStage, stage
from tests.equipment.boinc_project import BoincProject
from tests.equipment.stand_ins.create_work import words_of

TEMPLATE = b"""\
<input_template>
<file_info><no_delete/></file_info>
<workunit>
<file_ref><open_name>shared/boinc_app</open_name><copy_file/></file_ref>
<rsc_memory_bound>2e9</rsc_memory_bound>
</workunit>
</input_template>
"""
APP = "boinc2docker"


def file_of(content: str) -> ToStage:
    return ToStage(f"b2d_app_{hashlib.sha256(content.encode()).hexdigest()}", content.encode())


def units(names: Sequence[str], content: str = "same") -> list[Creation]:
    return [Creation(name, TEMPLATE, (file_of(content).name,)) for name in names]


@pytest.fixture
def project(boinc_project: BoincProject) -> Project:
    """With one staged file."""
    found = Project.open(boinc_project.root)
    stage(found, [file_of("same")])
    return found


def names_in(boinc_project: BoincProject) -> list[str]:
    return [row["name"] for row in boinc_project.rows("select name from workunit order by id")]


def test_jobs_are_created_by_one_process_and_confirmed(
    project: Project, boinc_project: BoincProject, tmp_path: Path
) -> None:
    boinc_project.watch("create_work", tmp_path / "log")
    wanted = [f"job_{number}" for number in range(1500)]
    made = list(create(project, APP, ("--priority", "7"), units(wanted)))
    rows = boinc_project.rows("select id, name, priority, rsc_memory_bound from workunit order by id")
    assert made == [Outcome(row["name"], row["id"], "created") for row in rows]
    assert [one.name for one in made] == wanted
    assert {(row["priority"], row["rsc_memory_bound"]) for row in rows} == {(7, 2e9)}
    again = list(create(project, APP, (), units(wanted)))
    assert again == [Outcome(one.name, one.id, "existed") for one in made]
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_prepare_sees_only_what_is_missing(project: Project) -> None:
    seen: list[str] = []
    list(create(project, APP, (), units(["a"])))
    list(create(project, APP, (), units(["a", "b"]), prepare=lambda some: seen.extend(one.name for one in some)))
    assert seen == ["b"]


def test_a_name_of_another_job_is_no_success(project: Project) -> None:
    (first,) = create(project, APP, (), units(["Job"]))
    assert first.outcome == "created"
    other, case = [next(create(project, APP, (), [one])) for one in (*units(["Job"], "other"), *units(["job"]))]
    assert (other.outcome, case.outcome) == ("failed", "failed")
    assert "another job has the name Job" in other.reason
    assert "another job has the name Job" in case.reason


CONSTANT = TEMPLATE.replace(
    b"<workunit>",
    b"<file_info><physical_name>b2d_input_1</physical_name></file_info>"
    b"<file_info></file_info><workunit><file_ref><open_name>shared/R&amp;amp;D</open_name></file_ref>"
    b"<file_ref><open_name>shared/far</open_name></file_ref>",
)
FAR = ("--remote_file", "http://x.example/f", "3", "0" * 32)


@pytest.mark.parametrize(
    "change",
    [
        {"template": CONSTANT.replace(b"b2d_input_1", b"b2d_input_2")},
        {"template": CONSTANT.replace(b"shared/far", b"shared/near")},
        {"line_files": (file_of("same").name, *FAR[:3], "1" * 32)},
        {},
    ],
    ids=["shared-input", "name-in-the-slot", "remote-input", "app"],
)
def test_the_same_job_is_the_same_in_all_its_files(
    change: dict[str, Any], project: Project, boinc_project: BoincProject
) -> None:
    """Else a sweep with other data would be told to be there, and nothing would run. A URL may be signed anew."""
    stage(project, [ToStage("b2d_input_1", b"1"), ToStage("b2d_input_2", b"2")])
    boinc_project.add_app("other")
    unit = Creation("a", CONSTANT, (file_of("same").name, *FAR))
    again = replace(unit, line_files=(file_of("same").name, FAR[0], "http://y.example/f", *FAR[2:]))
    assert [next(create(project, APP, (), [one])).outcome for one in (unit, again)] == ["created", "existed"]
    app = APP if change else "other"
    (made,) = create(project, app, (), [replace(unit, **change)])
    assert (made.outcome, made.reason) == ("failed", "another job has the name a: give this one another name")


def test_another_job_made_meanwhile_is_no_success(project: Project) -> None:
    stage(project, [file_of("other")])

    def meanwhile(_missing: Sequence[Creation]) -> None:
        list(create(project, APP, (), units(["b"], "other"), purpose="else"))

    made = list(create(project, APP, (), units(["a", "b", "c"]), prepare=meanwhile))
    assert [one.outcome for one in made] == ["created", "failed", "created"]
    assert "another job has the name b" in made[1].reason


def test_what_create_work_calls_success_is_looked_up(project: Project, boinc_project: BoincProject) -> None:
    (boinc_project.root / "templates" / f"{APP}_out").unlink()
    (made,) = create(project, APP, (), units(["a"]))
    assert (made.id, made.outcome) == (None, "failed")
    assert made.reason == f"create_work: result template file templates/{APP}_out doesn't exist"


def test_one_bad_job_does_not_stop_the_others(project: Project, boinc_project: BoincProject) -> None:
    some = [*units(["a"]), *units(["b"], "not staged"), *units(["c"])]
    made = list(create(project, APP, (), some))
    assert [one.outcome for one in made] == ["created", "failed", "created"]
    assert "md5_file" in made[1].reason
    assert names_in(boinc_project) == ["a", "c"]


def test_a_name_inserted_meanwhile_undoes_nothing(project: Project, boinc_project: BoincProject) -> None:
    """As an orphaned create_work of a killed submitter does it, between our look and our insert."""
    some = units([f"job_{number}" for number in range(20)])

    def meanwhile(_missing: Sequence[Creation]) -> None:
        list(create(project, APP, (), [some[7]], purpose="orphan"))

    made = list(create(project, APP, (), some, prepare=meanwhile))
    assert [one.outcome for one in made] == ["created"] * 20
    assert sorted(names_in(boinc_project)) == sorted(one.name for one in some)


def test_two_submitters_at_once_create_each_job_once(project: Project, boinc_project: BoincProject) -> None:
    some = units([f"job_{number}" for number in range(300)])
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: list(create(project, APP, (), some, purpose="batch")), range(3)))
    assert sorted(sum(one.outcome == "created" for one in each) for each in done) == [0, 0, 300]
    assert {one.outcome for each in done for one in each} == {"created", "existed"}
    assert len(names_in(boinc_project)) == 300


def test_jobs_that_fit_on_no_line_get_a_process_of_their_own(
    project: Project, boinc_project: BoincProject, tmp_path: Path
) -> None:
    boinc_project.watch("create_work", tmp_path / "log")
    files = [file_of(str(number)) for number in range(100)]
    stage(project, files)
    info = TEMPLATE.replace(b"<workunit>", b"<file_info></file_info>" * 100 + b"<workunit>")
    template = info.replace(b"</file_ref>", b"</file_ref>" + b"<file_ref><copy_file/></file_ref>" * 100)
    long = Creation("long", template, (file_of("same").name, *(one.name for one in files)))
    made = list(create(project, APP, (), [long, *units(["short"])]))
    assert [one.outcome for one in made] == ["created", "created"]
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_only_a_blank_record_is_filled(project: Project, boinc_project: BoincProject) -> None:
    list(create(project, APP, (), units(["live", "mine"])))
    live, blank = (row["id"] for row in boinc_project.rows("select id from workunit order by id"))
    boinc_project.execute("update workunit set xml_doc='' where id=%s", blank)
    words = ("--wu_id", str(blank))
    for number, problem in ((live, "that is the job live"), (blank + 1, "no work unit record of this ID")):
        with pytest.raises(BuilderError, match=problem):
            list(create(project, APP, ("--wu_id", str(number)), units(["mine"])))
    assert next(create(project, APP, words, units(["live"]))).reason == "the job live is there already, with ID 1"
    assert next(create(project, APP, words, units(["mine"], "not staged"))).outcome == "failed"
    for outcome in ("created", "existed"):
        assert next(create(project, APP, words, units(["mine"]))) == Outcome("mine", blank, outcome)
    with pytest.raises(BuilderError, match="that is the job mine"):
        list(create(project, APP, words, units(["other"])))
    assert names_in(boinc_project) == ["live", "mine"]


def test_bad_input(project: Project, boinc_project: BoincProject) -> None:
    for name in ("", "a b", "a'b", "-a", "../x", "é", "a" * 151, "nodelete_1", "2024", "1-100"):
        with pytest.raises(BuilderError, match="the name"):
            list(create(project, APP, (), units([name])))
    with pytest.raises(BuilderError, match="two jobs have the name"):
        list(create(project, APP, (), units(["a", "A"])))
    with pytest.raises(BuilderError, match="65535 is most"):
        list(create(project, APP, (), [Creation("a", b"x" * 65536, ())]))
    (boinc_project.root / "bin" / "create_work").chmod(0o644)
    with pytest.raises(BuilderError, match="not executable"):
        list(create(project, APP, (), units(["a"])))
    assert names_in(boinc_project) == []


def test_memory_is_for_one_process_at_a_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create_work, "PROCESS", 3)
    asked: list[str] = []
    made = create(project, APP, (), (asked.append(one.name) or one for one in units(list("abcdefg"))))  # type: ignore[func-returns-value]
    assert next(made).name == "a"
    assert asked == ["a", "b", "c"]
    assert [one.name for one in made] == list("bcdefg")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=12))
def test_lines_are_split_into_the_same_words(words: list[str]) -> None:
    found = line(words)
    if found is None:
        both = any("'" in word and '"' in word for word in words)
        assert (
            both
            or "" in words
            or any("\n" in word for word in words)
            or sum(len(word.encode()) + 3 for word in words) > 4094
        )
    else:
        assert found.endswith(b"\n")
        assert found.count(b"\n") == 1
        assert words_of(found.decode()) == words
