"""The documents of a work unit, what a job needs of a host, create_work's options: exact texts and figures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker.app import settings
from boinc2docker.app.template import DIRECTORY, Templates
from boinc2docker.cli.create_work_options import CREATE_WORK
from boinc2docker.errors import BuilderError, InputError, UsageError
from boinc2docker.job.remote_input import RemoteInput
from boinc2docker.project.project import Project
from boinc2docker.project.staging import ToStage
from boinc2docker.submission import app_files, bounds, documents
from boinc2docker.submission.app_files import without_project
from boinc2docker.submission.documents import Entry
from boinc2docker.submission.options import WorkUnitOptions
from tests.equipment.boinc_project import BoincProject
from tests.equipment.checkout import PROJECT_ROOT

MB, GB = 1 << 20, 10**9
ENTRIES = [
    Entry("shared/boinc_app", ToStage("b2d_app_1", b"x"), constant=False),
    Entry("vbox_job.xml", ToStage("b2d_vbox_1.xml", b"y"), copy=False),
    Entry("shared/image/ff", ToStage("b2d_layer_ff", b"z"), sticky=60),
    Entry("shared/é", RemoteInput("http://x.example/e", "é", "0" * 32, 7), constant=False),
]
TEMPLATE = """\
<input_template>
    <file_info>
        <no_delete/>
    </file_info>
    <file_info>
        <physical_name>b2d_vbox_1.xml</physical_name>
        <no_delete/>
    </file_info>
    <file_info>
        <physical_name>b2d_layer_ff</physical_name>
        <sticky/>
        <sticky_lifetime>60</sticky_lifetime>
        <no_delete/>
    </file_info>
    <file_info>
        <no_delete/>
    </file_info>
    <workunit>
        <file_ref>
            <open_name>shared/boinc_app</open_name>
            <copy_file/>
        </file_ref>
        <file_ref>
            <open_name>vbox_job.xml</open_name>
        </file_ref>
        <file_ref>
            <open_name>shared/image/ff</open_name>
            <copy_file/>
        </file_ref>
        <file_ref>
            <open_name>shared/é</open_name>
            <copy_file/>
        </file_ref>
        <rsc_fpops_est>1.5e+30</rsc_fpops_est>
        <rsc_disk_bound>20000000000</rsc_disk_bound>
        <extra>1</extra>
    </workunit>
</input_template>
"""


def test_the_input_template() -> None:
    limits = {"rsc_fpops_est": 1.5e30, "rsc_disk_bound": 2e10}
    made = documents.input_template(ENTRIES, limits, documents.extra_elements("<extra>1</extra>"))
    assert made.decode() == TEMPLATE
    assert [word for entry in ENTRIES for word in entry.words] == [
        *("b2d_app_1", "--remote_file", "http://x.example/e", "7", "0" * 32)
    ]


@pytest.mark.parametrize("name", ["it's", 'say "x"', "a\\b", "a&lt;b", "a<b", "x" * 230, "&" * 30])
def test_names_that_boinc_would_garble(name: str) -> None:
    with pytest.raises(BuilderError):
        documents.input_template([replace(ENTRIES[0], open_name=f"shared/{name}")], {})


CHOSEN = settings.read(DIRECTORY / "app.toml", {})
VBOX_JOB = Templates(DIRECTORY, CHOSEN.values()).render("vbox_job.xml")
"""What package-app installs."""


def test_vbox_job_is_the_apps_with_changes() -> None:
    base = without_project("a").vbox_job
    options = [documents.parse_vbox_option(text) for text in ("boot_iso=0", "vram_size_mb: 32", "copy_to_shared=a")]
    options.append(documents.parse_vbox_option("copy_to_shared=b&c"))
    made = documents.vbox_job(base, 900, options)
    before, after = VBOX_JOB.splitlines(), made.decode().splitlines()
    assert [line.strip() for line in after if line not in before] == [
        *("<memory_size_mb>900</memory_size_mb>", "<boot_iso>0</boot_iso>", "<vram_size_mb>32</vram_size_mb>"),
        *("<copy_to_shared>a</copy_to_shared>", "<copy_to_shared>b&amp;c</copy_to_shared>"),
    ]
    assert documents.vbox_job(base, 2048).decode() == VBOX_JOB, "the base is not changed"


def test_a_dry_run_without_a_project_has_the_machine_that_package_app_installs() -> None:
    found = without_project("a")
    assert documents.vbox_job(found.vbox_job, CHOSEN.memory_mb).decode() == VBOX_JOB
    assert found.outputs.bytes == (CHOSEN.results_mb + CHOSEN.log_mb) * 10**6
    assert (found.memory_mb, found.disk_mb) == (CHOSEN.memory_mb, CHOSEN.disk_mb)


def test_the_smallest_data_disk_of_the_newest_versions_counts(boinc_project: BoincProject) -> None:
    project = Project.open(boinc_project.root)
    assert app_files.load(project, "boinc2docker").disk_mb is None
    for place in ("1.02/linux__v/vm_cache_9_a", "1.10/linux__v/vm_cache_30_a", "1.09/mac__v/vm_cache_20_a"):
        path = project.root / "apps" / "boinc2docker" / f"{place}.vdi"
        path.parent.mkdir(parents=True)
        path.touch()
    assert app_files.load(project, "boinc2docker").disk_mb == 20
    assert app_files.load(project, "boinc2docker", number=102).disk_mb == 9


def test_templates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(app_files, "APP_TEMPLATE", tmp_path)
    for text in (None, "memory_mb = ", 'network = "x"\n'):
        if text is not None:
            (tmp_path / "app.toml").write_text(text)
            (tmp_path / "vbox_job.xml").write_text("$memory_mb")
        with pytest.raises(InputError, match=r"app\.toml"):
            without_project("a")


def test_output_templates_are_read_as_boinc_does() -> None:
    text = (PROJECT_ROOT / "app_template" / "out.xml").read_text().replace("$results_bytes", "1000")
    good = text.replace("$log_bytes", "5e2")
    assert documents.parse_output_template(good.encode(), "out").bytes == 1500
    for bad in (
        '<?xml version="1.0"?>' + good,
        good.replace("\n", "\r\n"),
        good.replace("<result>\n", "<result>"),
        good.replace("<max_nbytes>1000</max_nbytes>", ""),
        good.replace("shared/results.tgz", "results.tgz"),
        good.replace("</result>", ""),
    ):
        with pytest.raises(BuilderError):
            documents.parse_output_template(bad.encode(), "out")


NEEDS = bounds.Needs(image=100 * 10**6, layers_travel=False, inputs=0, outputs=GB, app_memory_mb=2048)


def test_bounds_follow_the_written_rules() -> None:
    plain = bounds.compute(NEEDS, WorkUnitOptions())
    assert (plain.memory_mb, plain.memory) == (2048, 2048 * MB + 10**8)
    assert plain.disk == GB + 2048 * MB + 4 * 10**8 + 3 * GB + (4 << 30), "results: themselves, packed, in the share"
    assert (plain.fpops_est, plain.fpops_bound) == (3600 * 4 * 5e9, 100 * 3600 * 4 * 5e9)
    own = replace(NEEDS, app_fpops_est=7e13, app_fpops_bound=1e17)
    said = bounds.compute(own, WorkUnitOptions())
    assert (said.fpops_est, said.fpops_bound) == (7e13, 1e17), "the app's template says it"
    short = bounds.compute(replace(own, seconds=60, cpus=1), WorkUnitOptions())
    assert (short.fpops_est, short.fpops_bound) == (60 * 5e9, 1e17), "--time says it, never less than the app's bound"
    assert plain.warnings == ()
    big = replace(NEEDS, layers_travel=True, inputs=17 * MB, room=0, seconds=10**6, cpus=2, data_disk=False)
    found = bounds.compute(replace(big, image=2 * GB), WorkUnitOptions())
    assert found.memory_mb == -(-(5 * 10**8 + 8 * GB + 32 * MB + 2 * GB) // MB), "all of it is in memory"
    assert found.disk == GB + found.memory_mb * MB + 2 * GB + 32 * MB + GB, "the share and the saved memory"
    assert (found.fpops_est, found.fpops_bound) == (10**6 * 1e10, 10**8 * 1e10)


def test_bounds_are_told_as_the_user_gave_them() -> None:
    """--time is for one machine, whatever the number of its cores."""
    assert str(bounds.compute(NEEDS, WorkUnitOptions())) == (
        "each host needs 2048 MB of memory and 10.8 GB of disk; "
        "expected time: 1 h on 4 ordinary cores (5 GFLOPS each); "
        "BOINC ends a job that runs longer than 4.17 d there"
    )
    single = str(bounds.compute(replace(NEEDS, seconds=7200, cpus=1), WorkUnitOptions()))
    assert "expected time: 2 h on an ordinary core (" in single


def test_more_than_volunteers_have_is_told() -> None:
    needs = replace(NEEDS, memory_mb=65536, seconds=400 * 86400)
    memory, time = bounds.compute(needs, WorkUnitOptions()).warnings
    assert memory == "--memory: few volunteers' computers can spare 64 GB"
    assert time.startswith("the job should take 400 d, but hosts have only 7 d to return it: ")
    assert "than 110 years there" in str(bounds.compute(needs, WorkUnitOptions()))
    assert len(bounds.compute(needs, WorkUnitOptions(delay_bound=401 * 86400)).warnings) == 1
    assert len(bounds.compute(replace(needs, app_delay_bound=401 * 86400), WorkUnitOptions()).warnings) == 1


def test_bounds_count_every_copy_of_an_input() -> None:
    """In the share, on the data disk, and there once more where it is a directory."""
    none = bounds.compute(NEEDS, WorkUnitOptions()).disk
    file = bounds.compute(replace(NEEDS, inputs=64 * MB), WorkUnitOptions())
    assert file.disk - none == 2 * 64 * MB
    directory = bounds.compute(replace(NEEDS, inputs=64 * MB, unpacked=190 * MB), WorkUnitOptions())
    assert directory.disk - none == 64 * MB + 256 * MB
    assert directory.memory_mb == file.memory_mb == 2048
    small = replace(NEEDS, outputs=MB, data_disk=False)
    in_memory = bounds.compute(replace(small, inputs=64 * MB, unpacked=960 * MB), WorkUnitOptions())
    assert in_memory.memory_mb == 2048, "the app's is enough"
    assert bounds.compute(replace(small, inputs=2 * GB, unpacked=GB), WorkUnitOptions()).memory_mb > 4096


def test_a_data_disk_that_may_be_too_small_is_told() -> None:
    def warned(**more: int) -> list[str]:
        needs = replace(NEEDS, disk_mb=10_000, **more)  # type: ignore[arg-type]
        return [one for one in bounds.compute(needs, WorkUnitOptions()).warnings if "data disk" in one]

    assert warned() == []
    assert warned(room=5 * GB) == []
    (told,) = warned(room=8 * GB)
    assert told.startswith("the job may need 10.4 GB of its machine's data disk, which has 10.5 GB: ")
    assert warned(image=2 * GB)
    assert warned(inputs=GB, unpacked=7 * GB)
    assert bounds.compute(replace(NEEDS, image=9 * GB), WorkUnitOptions()).warnings == (), "nobody knows the disk"


def test_what_is_given_wins_and_too_little_is_told() -> None:
    given = WorkUnitOptions(rsc_memory_bound=GB, rsc_disk_bound=GB, rsc_fpops_est=1e15, rsc_fpops_bound=2e15)
    found = bounds.compute(NEEDS, given)
    assert (found.memory_mb, found.memory, found.disk) == ((GB - 10**8) // MB, GB, GB)
    assert (found.fpops_est, found.fpops_bound) == (1e15, 2e15)
    assert [warning.split()[0] for warning in found.warnings] == ["--rsc_disk_bound", "--rsc_fpops_bound"]
    small = bounds.compute(replace(NEEDS, memory_mb=300), WorkUnitOptions(rsc_memory_bound=MB))
    assert small.memory_mb == 512
    assert len(small.warnings) == 2


def test_every_option_of_create_work_is_a_typed_one() -> None:
    named = {one.name for one in CREATE_WORK if not one.hidden} | {"batch"}
    assert named == set(WorkUnitOptions.__dataclass_fields__)
    words = WorkUnitOptions(credit=1.5, broadcast=True, sub_appname="a b", rsc_disk_bound=5, d=0).words()
    assert words == ("--broadcast", "--credit", "1.5", "--d", "0", "--sub_appname", "a b")
    for wrong in ({"target_host": 1, "broadcast": True}, {"min_quorum": 2, "target_nresults": 1}):
        with pytest.raises(UsageError):
            WorkUnitOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rsc_disk_bound", "2GB", 2 << 30),
        ("rsc_disk_bound", "5e8", 500_000_000),
        ("rsc_memory_bound", "1.5g", 3 << 29),
        ("delay_bound", "3d", 259200),
        ("delay_bound", "604800", 604800),
        ("rsc_fpops_est", "3600e9", 3.6e12),
        ("priority", "-5", -5),
        ("size_class", "-1", -1),
        ("keywords", "1 2", "1 2"),
        ("sub_appname", "Fits & <folds>", "Fits & <folds>"),
        ("sub_appname", "&" * 45, "&" * 45),
    ],
)
def test_values_as_people_write_them(name: str, text: str, value: object) -> None:
    assert next(one for one in CREATE_WORK if one.name == name).value(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("delay_bound", "100y"),
        ("delay_bound", "3e9"),
        ("priority", "3000000000"),
        ("min_quorum", "0"),
        ("credit", "-1"),
        ("credit", "nan"),
        ("rsc_disk_bound", "lots"),
        ("sub_appname", "x" * 226),
        ("sub_appname", "é" * 19),
        ("sub_appname", "it's"),
        ("command_line", "--x '1'"),
    ],
)
def test_values_that_create_work_would_take_for_something_else(name: str, text: str) -> None:
    with pytest.raises(UsageError):
        next(one for one in CREATE_WORK if one.name == name).value(text)


def test_additional_xml_is_elements() -> None:
    assert [ET.tostring(one) for one in documents.extra_elements("<a/><b>1</b>")] == [b"<a />", b"<b>1</b>"]
    for wrong in ("text", "<a>", "<a>it's</a>", "<!DOCTYPE x><a/>", '<a b="it\'s"/>', '<a b="\\"/>'):
        with pytest.raises(BuilderError):
            documents.extra_elements(wrong)
