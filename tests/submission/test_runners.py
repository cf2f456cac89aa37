"""Which runners a job's work unit has files for: ``submit --on``."""

from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker.cli.submit import submit_command
from boinc2docker.errors import InputError, UsageError
from tests.equipment.boinc_project import BoincProject
from tests.submission.work_units import document, slot, staged, unit

APP = "boinc2docker"
OWN = {"Dockerfile", "b2d_image", "job.toml"}


def both(project: BoincProject) -> None:
    """A version for docker_wrapper beside the one for vboxwrapper."""
    project.execute(
        "insert into app_version (create_time, appid, version_num, platformid, plan_class, xml_doc) "
        "select 1, appid, 102, platformid, 'docker_x64', '' from app_version limit 1"
    )


def typed(project: BoincProject, image: str, **more: object) -> dict[str, object]:
    return {"image": image, "project": str(project.root), "quiet": True, **more}


def test_a_machine_is_all_that_a_job_needs_by_default(boinc_project: BoincProject, image: str) -> None:
    assert submit_command(typed(boinc_project, image, name="job"), ["true"]) == 0
    assert not OWN & slot(document(unit(boinc_project, "job"))).keys()


def test_one_work_unit_is_for_both(boinc_project: BoincProject, image: str) -> None:
    both(boinc_project)
    assert submit_command(typed(boinc_project, image, name="job", on="vm,docker"), ["true"]) == 0
    files = slot(document(unit(boinc_project, "job")))
    assert files.keys() >= {*OWN, "vbox_job.xml", "shared/boinc_app"}
    here = staged(boinc_project)
    text = here[files["Dockerfile"]].read_text()
    assert text.startswith('FROM scratch\nADD ["shared/image/')
    assert here[files["job.toml"]].read_text() == 'workdir = "/root/shared"\n'
    assert "CONFIG_CMD=" in here[files["b2d_image"]].read_text()


def test_numbers_of_jobs_have_one_width(boinc_project: BoincProject, image: str, tmp_path: Path) -> None:
    both(boinc_project)
    rows = tmp_path / "rows.csv"
    rows.write_text("x\n1\n2\n")
    given = typed(boinc_project, image, name="b", on="vm,docker", batch=str(rows))
    assert submit_command(given, ["echo", "{x}"]) == 0
    assert [row["name"] for row in boinc_project.rows("select name from workunit order by id")] == [
        f"{APP}_b_000001",
        f"{APP}_b_000002",
    ]


@pytest.mark.parametrize(
    ("on", "versions", "message"),
    [
        ("vm,docker", False, "has no version for docker_wrapper"),
        ("docker", False, "has no version for docker_wrapper"),
        ("vm", True, "also has a version for docker_wrapper"),
        ("docker", True, "also has a version for vboxwrapper"),
    ],
)
def test_the_app_needs_a_version_for_each_and_no_other(
    boinc_project: BoincProject, image: str, on: str, versions: bool, message: str
) -> None:
    if versions:
        both(boinc_project)
    with pytest.raises(InputError, match=message):
        submit_command(typed(boinc_project, image, name="job", on=on), ["true"])
    assert boinc_project.rows("select id from workunit") == []


@pytest.mark.parametrize("name", ["job_0", "job_12"])
def test_a_name_that_could_be_a_task_s_is_refused(boinc_project: BoincProject, image: str, name: str) -> None:
    both(boinc_project)
    with pytest.raises(InputError, match="ends like the name of a task"):
        submit_command(typed(boinc_project, image, name=name, on="vm,docker"), ["true"])
    assert staged(boinc_project) == {}


@pytest.mark.parametrize("on", ["", "machine", "vm,vm", "vm, docker"])
def test_other_words_are_wrong_usage(boinc_project: BoincProject, image: str, on: str) -> None:
    with pytest.raises(UsageError, match="--on: expected vm, docker or vm,docker"):
        submit_command(typed(boinc_project, image, on=on), ["true"])
